"""Decides what follows from speech that begins, pauses, goes on and ends: when a turn is heard,
begun early, dropped, or taken back because its sentence goes on.

Knows no audio device, no model and no store.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from engines.audio.segmenter import (
    SegmentEvent,
    SpeechCancelled,
    SpeechGoesOn,
    SpeechPaused,
    SpeechResumed,
    SpeechStarted,
)
from engines.types import SAMPLE_RATE_HZ, Segment

from ..attention import Attention
from ..events.bus import Events
from ..events.turns import SpeechBegan, SpeechEnded
from .turn_log import QueuedTurn

GOES_ON_SECONDS = 2.5
"""Time after the end of a turn in which speech may go on with its sentence, where the reply is
heard."""
GOES_ON_UNHEARD_SECONDS = 1.0
"""The same, where replies are only written."""
INTO_REPLY_SECONDS = 0.7
"""Time after the first sound of the reply in which a user who was cut off goes on: whoever begins
later answers the reply, or interrupts it."""
_BETWEEN_SECONDS = 0.3
"""Silence that joins the halves of a sentence, at most; more would only cost the encoder time."""
_MOST_SECONDS = 29.0


class Answers(Protocol):
    """The conversation, as far as taking turns needs it."""

    @property
    def may_keep(self) -> bool:
        """Whether anything that is said now may be kept."""
        ...

    def hear(self, segment: Segment, *, learn: bool, may_keep: bool, replaces: int | None) -> int:
        """Queue a segment; return the number of its turn."""
        ...

    def hear_so_far(self, segment: Segment) -> None:
        """Tell what was said so far, if somebody wants to know."""
        ...

    def hear_early(
        self, segment: Segment, *, may_keep: bool, replaces: int | None
    ) -> QueuedTurn | None:
        """Begin to answer a segment that may not have ended."""
        ...

    def keep(self, turn: QueuedTurn, learn: bool) -> int | None:
        """Keep a turn that was begun early; return its number, or None if it has failed."""
        ...

    def drop(self, turn: QueuedTurn) -> None:
        """End a turn that was begun early, without a trace."""
        ...

    def withdraw(self, number: int) -> None:
        """Stop the answer to a turn whose speech goes on."""
        ...


@dataclass(frozen=True)
class _Ended:
    """A turn whose speech has ended, as far as is known."""

    segment: Segment
    number: int
    at: float
    learn: bool
    may_keep: bool


class TurnTaking:
    """Takes the events of one microphone, in the listener's thread."""

    def __init__(
        self,
        answers: Answers,
        attention: Attention,
        events: Events,
        interrupt: Callable[[], None],
        *,
        goes_on_seconds: float,
        silence: Callable[[], object] = lambda: None,
        reply_began_at: Callable[[], float | None] = lambda: None,
        over_reply: Callable[[float], bool] = lambda seconds: False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`interrupt` is called when a user begins a new turn; `silence` stops what is being said.
        Within `goes_on_seconds` of the end of a turn, speech may go on with its sentence.
        `reply_began_at` returns when the last reply began to sound, by `clock`; None if none did.
        `over_reply` returns whether anything sounded in the last so many seconds."""
        self._answers = answers
        self._attention = attention
        self._events = events
        self._interrupt = interrupt
        self._goes_on_seconds = goes_on_seconds
        self._silence = silence
        self._reply_began_at = reply_began_at
        self._over_reply = over_reply
        self._clock = clock
        self._last: _Ended | None = None
        self._before: _Ended | None = None
        """The turn whose sentence goes on; None if what is said now is a sentence of its own."""
        self._early: tuple[QueuedTurn, Segment] | None = None
        self._may_keep = True
        """Whether anything of this sentence may be kept, as the user wanted it when it began."""
        self._own_samples = 0
        """The samples of the last segment that are its own, and not those of the turn before."""

    def noticed(self, event: SegmentEvent) -> None:
        """Take the next event of the segmenter."""
        match event:
            case SpeechStarted():
                self._attention.begin()
                self._begin()
                self._events.publish(SpeechBegan())
            case SpeechGoesOn(segment=segment):
                self._answers.hear_so_far(self._joined(segment))
            case SpeechPaused(segment=segment):
                self._pause(self._joined(segment))
            case SpeechResumed():
                self._drop_early()
            case SpeechCancelled():
                try:
                    self._cancel()
                finally:
                    self._attention.end()
            case Segment():
                try:
                    self._end(self._joined(event))
                finally:  # a segment in the queue holds attention by itself
                    self._attention.end()

    def _begin(self) -> None:
        self._before = self._last if self._goes_on() else None
        self._may_keep = self._answers.may_keep and (self._before is None or self._before.may_keep)
        if self._before is None:
            self._interrupt()
            return
        self._answers.withdraw(self._before.number)
        self._silence()

    def _goes_on(self) -> bool:
        """Whether speech that begins now goes on with the last turn."""
        last, now = self._last, self._clock()
        if last is None or now - last.at > self._goes_on_seconds:
            return False
        began = self._reply_began_at()
        heard_reply = began is not None and last.at <= began < now - INTO_REPLY_SECONDS
        return not heard_reply

    def _pause(self, segment: Segment) -> None:
        if segment.seconds > _MOST_SECONDS:
            return
        turn = self._answers.hear_early(segment, may_keep=self._may_keep, replaces=self._replaces)
        if turn is not None:
            self._early = turn, segment

    def _drop_early(self) -> None:
        early, self._early = self._early, None
        if early is not None:
            self._answers.drop(early[0])

    def _end(self, segment: Segment) -> None:
        if segment.seconds > _MOST_SECONDS and self._before is not None:
            # Too long for one turn, so the first half is one of its own.
            self._answer_before()
            own = segment.samples[-self._own_samples :]
            silence_seconds = segment.silence_seconds
            segment = Segment(own, segment.start_seconds, silence_seconds=silence_seconds)
        learn = not self._over_reply(segment.seconds)
        early, self._early, number = self._early, None, None
        if early is not None:
            if np.array_equal(early[1].samples, segment.samples):
                number = self._answers.keep(early[0], learn)
            else:
                self._answers.drop(early[0])
        if number is None:
            number = self._answers.hear(
                segment, learn=learn, may_keep=self._may_keep, replaces=self._replaces
            )
        ended = _Ended(segment, number, self._clock(), learn, self._may_keep)
        self._last, self._before = ended, None
        self._events.publish(SpeechEnded(turn=number, silence_seconds=segment.silence_seconds))

    def _cancel(self) -> None:
        """The sound was no speech: a turn that was withdrawn for its sake is answered after all."""
        self._drop_early()
        if self._before is not None:
            self._answer_before()

    def _answer_before(self) -> None:
        """Answer a turn that was withdrawn as it was."""
        before, self._before = self._before, None
        assert before is not None
        number = self._answers.hear(
            before.segment,
            learn=before.learn,
            may_keep=before.may_keep,
            replaces=before.number,
        )
        self._last = replace(before, number=number, at=self._clock())

    @property
    def _replaces(self) -> int | None:
        return None if self._before is None else self._before.number

    def _joined(self, segment: Segment) -> Segment:
        """`segment` after the turn that it goes on with."""
        self._own_samples = len(segment.samples)
        if self._before is None:
            return segment
        before = self._before.segment
        pause_seconds = segment.start_seconds - before.start_seconds - before.seconds
        between = round(min(_BETWEEN_SECONDS, max(0.0, pause_seconds)) * SAMPLE_RATE_HZ)
        samples = np.concatenate([before.samples, np.zeros(between, np.float32), segment.samples])
        pauses = before.longest_pause_seconds, segment.longest_pause_seconds, pause_seconds
        return Segment(samples, before.start_seconds, max(pauses), segment.silence_seconds)
