"""The conversation: turns wait in a queue, and one thread answers them, one after another.

Knows neither where speech comes from nor how a turn is answered.
"""

import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Generator, Sequence
from dataclasses import replace
from functools import partial

from engines.errors import AttuneError, TurnAbandoned
from engines.types import Float32, Segment

from ..abilities.abilities import Abilities
from ..attention import Attention
from ..clients import Client
from ..clocks import REAL_TIME, Clocks
from ..config.settings import ConversationSettings
from ..discreet_log import discreet
from ..events.bus import Events
from ..events.event import Event
from ..events.turns import (
    HeardSoFar,
    SpeechHeard,
    TurnAnswered,
    TurnEvent,
    TurnFailed,
    TurnWithdrawn,
)
from ..serving.lease import ModelLender
from ..serving.served_user import ServedUser
from ..store.records import FIRST_USER
from ..store.store import Store
from .answering import Answering
from .dialogue import Mode
from .early import Early, Preparation
from .memory import DEVICE
from .tool_use import Tools
from .turn_log import QueuedTurn, TurnLog

logger = logging.getLogger(__name__)

_WAITING_TURNS = 32
_ROUND_SECONDS = 1.0
_STOPPING = "the daemon is stopping"


class _AnotherSpeaksError(AttuneError):
    """A turn that was begun early is another user's."""


class Conversation:
    """The queue of turns and the thread that answers them."""

    def __init__(
        self,
        lender: ModelLender,
        store: Store,
        events: Events,
        attention: Attention,
        settings: ConversationSettings,
        *,
        keeps_audio: bool,
        clocks: Clocks = REAL_TIME,
        alive: Callable[[], None] = lambda: None,
        preparation: Preparation | None = None,
        abilities: Abilities | None = None,
        tools: Tools | None = None,
        may_keep: Callable[[], bool] = lambda: True,
        served: ServedUser | None = None,
    ) -> None:
        """Start the thread. It calls `alive` before each step of a reply, and at least every
        _ROUND_SECONDS while it does not wait for a model. With `keeps_audio`, the audio of spoken
        turns is stored. `preparation` is for replies that were begun early.
        Without `abilities` the language model answers everything; `tools` are those that it may
        call. Nothing is stored unless `may_keep`. `served` tells who is served, and whose voice it
        is that is heard; without it there is one user."""
        self._alive = alive
        self._preparation = preparation
        self._lender = lender
        self._events = events
        self._attention = attention
        self._served = served
        self._log = TurnLog(
            store,
            keeps_audio,
            may_keep,
            (lambda: served.now.id) if served is not None else (lambda: FIRST_USER),
        )
        self._answering = Answering(
            store, settings, self._log, clocks, self._publish, self._go_on, abilities, tools
        )
        self._waiting: deque[QueuedTurn] = deque()
        self._changed = threading.Condition()
        """Guards the queue, the number of turns, and whether more turns are taken."""
        self._count = 0
        self._current: QueuedTurn | None = None
        """The turn that is being answered."""
        self._so_far: Float32 | None = None
        """What somebody said who is still speaking, [N] samples, where that is to be told."""
        self._closing = self._closed = False
        self._thread = threading.Thread(target=self._run, name="conversation", daemon=True)
        self._thread.start()

    # --- from other threads

    def check_route(self, route: str | None) -> None:
        """Raise AttuneError if `route` is named and does not exist; see
        `ModelLender.check_route`."""
        self._lender.check_route(route)

    def hear(
        self,
        segment: Segment,
        source: str = "microphone",
        wait: bool = False,
        route: str | None = None,
        events: "queue.SimpleQueue[Event] | None" = None,
        abandoned: threading.Event | None = None,
        expected: Sequence[str] = (),
        learn: bool = True,
        may_keep: bool = True,
        replaces: int | None = None,
    ) -> int:
        """Queue a segment to be answered; return the number of its turn at once. Its events also go
        to `events`, and end with `turn` or `turn_failed`. A caller that gives `abandoned` can later
        `abandon` the turn by it. The phrases in `expected` are likelier than other words. Without
        `learn` the audio is not kept: the loudspeaker may be heard in it; without `may_keep`
        nothing is, since the user wanted that when the speech began. The turn takes the place
        of turn `replaces`, whose speech went on.

        If the queue is full, the call waits with `wait` until there is room, as a file can. Without
        it, the oldest waiting turn is stored without an answer, and its last event says so: a
        microphone cannot wait, and speech is never dropped silently.
        """
        turn = self._new_turn(segment.samples, source, route, events, abandoned, expected)
        turn = replace(
            turn,
            may_keep=may_keep and turn.may_keep,
            learn=learn,
            longest_pause_seconds=segment.longest_pause_seconds,
            replaces=replaces,
        )
        displaced = None
        with self._changed:
            if wait:
                self._changed.wait_for(
                    lambda: self._closed or turn.abandoned.is_set() or self._has_room
                )
            taken = not self._closed and not turn.abandoned.is_set()
            if taken:
                displaced = None if self._has_room else self._waiting.popleft()
                self._append(turn)
        if displaced is not None:
            self._leave(
                displaced,
                f"the queue of turns is full ({_WAITING_TURNS}); wait for a reply and say it again",
            )
        if not taken:
            self._attention.begin()  # as for every turn: its outcome ends it
            self._leave(turn, self._why_left(turn))
        return turn.number

    def hear_early(
        self,
        segment: Segment,
        source: str = "microphone",
        replaces: int | None = None,
        may_keep: bool = True,
    ) -> QueuedTurn | None:
        """Begin to answer a segment that may not have ended. Nothing can be seen of it until it is
        kept by `keep`; `drop` ends it without a trace. None if something else is being answered, or
        the models would have to be opened first."""
        with self._changed:
            if self._closing or self._current or self._waiting or self._lender.resting:
                return None
            turn = QueuedTurn(
                number=0,
                words=segment.samples,
                source=source,
                route=None,
                asked_at=time.perf_counter(),
                events=None,
                longest_pause_seconds=segment.longest_pause_seconds,
                replaces=replaces,
                early=Early(self._preparation),
                may_keep=may_keep and self._log.may_keep(),
                forgettings=self._log.store.forgettings,
            )
            self._append(turn)
            return turn

    def hear_so_far(self, segment: Segment) -> None:
        """Tell the words of a segment that is still being spoken, in dictation, as long as nothing
        else is to do."""
        if self.mode != "dictate":
            return
        with self._changed:
            if not (self._closing or self._current or self._waiting or self._lender.resting):
                self._so_far = segment.samples
                self._changed.notify_all()

    def keep(self, turn: QueuedTurn, learn: bool = True) -> int | None:
        """Keep a turn that `hear_early` began: its speech has ended. Its events follow. Returns its
        number; None if it had failed already, so that `hear` has to answer its segment."""
        assert turn.early is not None
        with self._changed:
            if not turn.early.keep(self._count + 1, learn, self._events.publish):
                return None
            self._count += 1
            return self._count

    def drop(self, turn: QueuedTurn) -> None:
        """End a turn that `hear_early` began, because its speech goes on."""
        assert turn.early is not None
        turn.early.drop()
        with self._changed:
            waited = turn in self._waiting
            if waited:
                self._waiting.remove(turn)
        if waited:
            self._attention.end()

    def withdraw(self, number: int) -> None:
        """Stop the answer to turn `number`, because its speech goes on, and the turn that replaces
        it is heard next. If it was answered already, that turn takes it back."""
        with self._changed:
            found = [turn for turn in self._waiting if turn.told_number == number]
            for turn in found:
                self._waiting.remove(turn)
            if self._current is not None and self._current.told_number == number:
                self._current.withdrawn.set()
        for turn in found:
            self._conclude(turn, TurnWithdrawn(turn=number, source=turn.source))

    def ask(
        self,
        words: Float32 | str,
        source: str,
        route: str | None = None,
        client: Client | None = None,
        expected: Sequence[str] = (),
        *,
        only_hear: bool = False,
        heard_before: bool = False,
        conversation: str = DEVICE,
        hands_over: Collection[str] = (),
    ) -> Generator[Event, None, None]:
        """Answer typed words, or samples ([N] at SAMPLE_RATE_HZ), in which the phrases `expected`
        are likelier than other words. Yields the events of that turn; the last one is `turn`.

        With `only_hear` the last one is `speech_heard`, and nothing is answered. With
        `heard_before` the words may be those of an utterance that was only heard: it is answered
        then, with what is known of it. The turn belongs to the `conversation` of that name, whose
        last turns it may speak of. The client is Home Assistant where abilities are named in
        `hands_over`: what it is to do in their place is in the last event. The turn is abandoned
        once `client` has left or the generator is closed. Raises AttuneError if the turn fails or
        the queue of turns is full.
        """
        self._lender.check_route(route)
        events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        turn = replace(
            self._new_turn(words, source, route, events, None, expected),
            only_hear=only_hear,
            heard_before=heard_before,
            conversation=conversation,
            hands_over=hands_over,
        )
        with self._changed:
            if self._closed:
                raise AttuneError(_STOPPING)
            if not self._has_room:
                raise AttuneError(
                    f"the queue of turns is full ({_WAITING_TURNS}); wait for a reply and try again"
                )
            self._append(turn)
        try:
            with (client or Client()).telling(partial(self.abandon, turn.abandoned)):
                while True:
                    event = events.get()
                    if isinstance(event, TurnFailed):
                        raise AttuneError(event.problem)
                    yield event
                    if isinstance(event, TurnAnswered | SpeechHeard):
                        return
        finally:
            self.abandon(turn.abandoned)

    def abandon(self, abandoned: threading.Event) -> None:
        """Drop the waiting turns that were given `abandoned`, because their client has left. One
        that is being answered ends after its current step. Their audio is not kept."""
        with self._changed:
            abandoned.set()
            dropped = [turn for turn in self._waiting if turn.abandoned is abandoned]
            for turn in dropped:
                self._waiting.remove(turn)
            self._changed.notify_all()
        for turn in dropped:
            self._leave(turn, self._why_left(turn))

    @property
    def may_keep(self) -> bool:
        """Whether anything that is said now may be kept."""
        return self._log.may_keep()

    @property
    def busy(self) -> bool:
        """Whether a turn waits, or is being answered."""
        return bool(self._waiting) or self._current is not None

    @property
    def mode(self) -> Mode:
        """What is done with what is heard."""
        return self._answering.mode

    def set_mode(self, mode: Mode) -> None:
        """Use what is heard in another way from the next turn on."""
        self._answering.mode = mode

    def forget_all(self) -> None:
        """Remember nothing of what was said from the next turn on."""
        self._answering.forget_all()

    def stop_reply(self) -> None:
        """End the current reply."""
        self._answering.interrupted.set()

    def stop_answering(self) -> None:
        """End the current reply after its current step. Turns that wait, or come later, are stored
        without an answer."""
        self._closing = True
        self._answering.interrupted.set()

    def close(self) -> None:
        """Stop answering, take no more turns, and wait until the thread has ended."""
        self.stop_answering()
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join()

    # --- in the thread

    def _new_turn(
        self,
        words: Float32 | str,
        source: str,
        route: str | None,
        events: "queue.SimpleQueue[Event] | None",
        abandoned: threading.Event | None,
        expected: Sequence[str],
    ) -> QueuedTurn:
        with self._changed:
            self._count += 1
            return QueuedTurn(
                self._count,
                words,
                source,
                route,
                time.perf_counter(),
                events,
                abandoned or threading.Event(),
                tuple(expected),
                may_keep=self._log.may_keep(),
                forgettings=self._log.store.forgettings,
            )

    @property
    def _has_room(self) -> bool:
        return len(self._waiting) < _WAITING_TURNS

    def _append(self, turn: QueuedTurn) -> None:
        """Add `turn` to the queue; the caller holds `_changed`. Attention begins here, and
        `_conclude` ends it."""
        self._attention.begin()
        self._waiting.append(turn)
        self._changed.notify_all()

    def _run(self) -> None:
        while (turn := self._next()) is not None:
            if self._closing:
                self._leave(turn, _STOPPING)
            else:
                self._take(turn)
            with self._changed:
                self._current = None

    def _next(self) -> QueuedTurn | None:
        while True:
            self._alive()
            with self._changed:
                if not self._waiting and not self._closed and self._so_far is None:
                    self._changed.wait(_ROUND_SECONDS)
                so_far, self._so_far = self._so_far, None
                if self._waiting:
                    self._changed.notify_all()
                    self._current = self._waiting.popleft()
                    return self._current
                if self._closed:
                    return None
            if so_far is not None:
                self._tell_so_far(so_far)

    def _serve_who_speaks(self, turn: QueuedTurn) -> None:
        """Serve whom somebody named in the turn before, or the user whose voice is heard in this
        one, if that is clear. A turn that goes on changes nobody. Raises AttuneError if it was
        begun early and is another user's: it is heard again once it has ended."""
        if self._served is None or turn.replaces is not None:
            return
        try:
            self._served.switch_if_due()
            found = None if isinstance(turn.words, str) else self._served.told_by_voice(turn.words)
            if found is not None:
                if turn.early is not None:
                    turn.early.drop()
                    if turn.early.dropped:
                        raise _AnotherSpeaksError("another user speaks")
                self._served.switch(found[0], "voice", found[1])
        except _AnotherSpeaksError:
            raise
        except AttuneError as error:
            logger.error("who is served stays: %s", error)
        except Exception:  # as for a turn: a defect must not leave anybody without an answer
            logger.exception("who is served stays")

    def _take(self, turn: QueuedTurn) -> None:
        try:
            self._serve_who_speaks(turn)
            with self._lender.lease(turn.route) as models:
                work = self._answering.hear if turn.only_hear else self._answering.answer
                outcome: TurnEvent = work(turn, models)
        except TurnAbandoned:
            outcome = (
                TurnWithdrawn(turn=turn.told_number, source=turn.source)
                if turn.taken_back
                else self._failure(turn, self._why_left(turn))
            )
        except AttuneError as error:
            outcome = self._failure(turn, str(error))
        except Exception as error:
            # A defect in one turn must not end the thread that answers all others.
            logger.exception("turn %d failed", turn.number)
            outcome = self._failure(
                turn, f"this turn failed: {discreet(error)}; the daemon's log says where"
            )
        if turn.early is not None:
            turn.early.drop()  # one that failed before it was kept is heard again
        if not turn.taken_back and not turn.only_hear:
            self._answering.turn_ended(turn)
        self._conclude(turn, outcome)

    def _tell_so_far(self, samples: Float32) -> None:
        """Tell the words of `samples`, unless a turn comes meanwhile."""

        def step() -> None:
            self._alive()
            if self._waiting or self._closing:
                raise TurnAbandoned

        try:
            with self._lender.lease(None) as models:
                text = models.words_of(models.hear(samples, step))
        except (TurnAbandoned, AttuneError) as error:  # the turn itself tells what is wrong
            logger.debug("what was said so far is not told: %r", error)
            return
        except Exception:  # as for a turn: a defect must not end the thread
            logger.exception("what was said so far could not be heard")
            return
        if text.strip() and not self._waiting:
            self._events.publish(HeardSoFar(text=text))

    def _go_on(self, turn: QueuedTurn) -> None:
        """Give a sign of life between the bounded steps of a turn. Raises TurnAbandoned if the
        turn's client has left, or the daemon stops."""
        self._alive()
        if self._closing or turn.abandoned.is_set() or turn.taken_back:
            raise TurnAbandoned

    def _leave(self, turn: QueuedTurn, why: str) -> None:
        """End a turn that is not answered at all."""
        self._conclude(turn, self._failure(turn, why))

    def _why_left(self, turn: QueuedTurn) -> str:
        return "the client has left" if turn.abandoned.is_set() else _STOPPING

    def _failure(self, turn: QueuedTurn, error: str) -> TurnFailed:
        if turn.early is not None:
            turn.early.drop()
            if turn.early.dropped:
                logger.debug("a turn that was begun early failed: %s", error)
                return TurnFailed(turn=turn.number, source=turn.source, problem=error)
        if turn.abandoned.is_set():
            logger.info("turn %d was not answered: %s", turn.number, error)
            problem = error
        else:
            logger.warning("turn %d was not answered: %s", turn.number, error)
            self._log.keep_audio_or_tell(turn)
            kept = self._log.keeps_audio_of(turn)
            problem = f"{error}; what was said is kept" if kept else error
        return TurnFailed(turn=turn.number, source=turn.source, problem=problem)

    def _conclude(self, turn: QueuedTurn, outcome: TurnEvent) -> None:
        """Publish the last event of a turn, and end its attention."""
        self._attention.end()
        if turn.early is None or not turn.early.dropped:
            self._publish(turn, outcome)

    def _publish(self, turn: QueuedTurn, event: TurnEvent) -> None:
        if turn.early is not None and event.turn == turn.number:
            turn.early.publish(event, self._events.publish)
            return
        if turn.events is not None:
            turn.events.put(event)
        self._events.publish(event)
