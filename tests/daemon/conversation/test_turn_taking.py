"""Who has finished, who goes on, and what becomes of an answer that came too early."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.attention import Attention
from daemon.conversation.early import Early
from daemon.conversation.turn_log import QueuedTurn
from daemon.conversation.turn_taking import INTO_REPLY_SECONDS, TurnTaking
from daemon.events.bus import Events
from daemon.events.turns import SpeechEnded
from engines.audio.segmenter import (
    SegmentEvent,
    SpeechCancelled,
    SpeechGoesOn,
    SpeechPaused,
    SpeechResumed,
    SpeechStarted,
)
from engines.types import SAMPLE_RATE_HZ, Segment


def said(start: float, seconds: float = 1.0, level: float = 0.5, pause: float = 0.0) -> Segment:
    return Segment(np.full(round(seconds * SAMPLE_RATE_HZ), level, np.float32), start, pause)


@dataclass
class Table:
    """A conversation that notes what it is told, and the clock that it is told by."""

    now: float = 100.0
    busy: bool = False
    fails: bool = False
    reply_began_at: float | None = None
    over_reply: bool = False
    done: list[str] = field(default_factory=list)
    heard: list[Segment] = field(default_factory=list)
    learn: list[bool] = field(default_factory=list)
    may_keeps: list[bool] = field(default_factory=list)
    may_keep: bool = True
    count: int = 0

    def __post_init__(self) -> None:
        self.attention = Attention(lambda: self.now)
        self.events = Events()
        self.taking = TurnTaking(
            self,
            self.attention,
            self.events,
            lambda: self.done.append("interrupt"),
            goes_on_seconds=2.5,
            silence=lambda: self.done.append("silence"),
            reply_began_at=lambda: self.reply_began_at,
            over_reply=lambda seconds: self.over_reply,
            clock=lambda: self.now,
        )

    def hear(self, segment: Segment, *, learn: bool, may_keep: bool, replaces: int | None) -> int:
        self.may_keeps.append(may_keep)
        self.count += 1
        self.heard.append(segment)
        self.learn.append(learn)
        self.done.append(f"hear {self.count}" + (f" for {replaces}" if replaces else ""))
        return self.count

    def hear_so_far(self, segment: Segment) -> None:
        self.done.append(f"so far {segment.seconds:.1f}")

    def hear_early(
        self, segment: Segment, *, may_keep: bool, replaces: int | None
    ) -> QueuedTurn | None:
        if self.busy:
            return None
        self.done.append("early" + (f" for {replaces}" if replaces else ""))
        self.heard.append(segment)
        self.may_keeps.append(may_keep)
        return QueuedTurn(0, segment.samples, "microphone", None, 0.0, None, early=Early())

    def keep(self, turn: QueuedTurn, learn: bool) -> int | None:
        if self.fails:
            return None
        self.count += 1
        self.learn.append(learn)
        self.done.append(f"keep {self.count}")
        return self.count

    def drop(self, turn: QueuedTurn) -> None:
        self.done.append("drop")

    def withdraw(self, number: int) -> None:
        self.done.append(f"withdraw {number}")

    def notice(self, *events: SegmentEvent) -> list[str]:
        """What is done about `events`, which are forgotten afterwards."""
        for event in events:
            self.taking.noticed(event)
        done, self.done = self.done, []
        return done


def turn(segment: Segment) -> list[SegmentEvent]:
    return [SpeechStarted(segment.start_seconds), SpeechPaused(segment), segment]


def test_an_answer_is_begun_at_a_pause_and_kept_at_the_end() -> None:
    table = Table()
    segment = said(0.0)
    assert table.notice(SpeechStarted(0.0)) == ["interrupt"]
    assert table.attention.needed
    assert table.notice(SpeechPaused(segment)) == ["early"]
    assert table.notice(segment) == ["keep 1"]
    assert not table.attention.needed


def test_the_end_of_speech_is_told_once_it_is_certain() -> None:
    table, segment = Table(), said(0.0)
    ended: list[int] = []
    table.events.subscribe(SpeechEnded, lambda event: ended.append(event.turn))
    table.notice(SpeechStarted(0.0), SpeechPaused(segment))
    assert ended == []
    table.notice(segment)
    assert ended == [1]


def test_what_is_said_so_far_begins_with_the_turn_that_it_goes_on_with() -> None:
    table = Table()
    table.notice(*turn(said(0.0)))
    table.now += 1.0
    table.notice(SpeechStarted(2.0))
    assert table.notice(SpeechGoesOn(said(2.0))) == ["so far 2.3"]


def test_speech_that_goes_on_drops_the_answer() -> None:
    table = Table()
    half, whole = said(0.0), said(0.0, 2.0)
    events: list[SegmentEvent] = [SpeechStarted(0.0), SpeechPaused(half), SpeechResumed()]
    events += [SpeechPaused(whole), whole]
    assert table.notice(*events) == ["interrupt", "early", "drop", "early", "keep 1"]


def test_where_nothing_is_begun_early_the_segment_is_heard() -> None:
    table = Table(busy=True)
    assert table.notice(*turn(said(0.0))) == ["interrupt", "hear 1"]
    assert Table().notice(SpeechStarted(0.0), said(0.0)) == ["interrupt", "hear 1"]


def test_an_answer_that_failed_early_is_given_again() -> None:
    table = Table(fails=True)
    assert table.notice(*turn(said(0.0))) == ["interrupt", "early", "hear 1"]


def test_a_segment_that_is_not_the_one_of_the_pause_is_heard_anew() -> None:
    """The microphone was lost within the pause, for example."""
    table = Table()
    events: list[SegmentEvent] = [SpeechStarted(0.0), SpeechPaused(said(0.0)), said(0.0, 1.5)]
    assert table.notice(*events) == ["interrupt", "early", "drop", "hear 1"]


def test_a_sentence_that_goes_on_is_joined_and_its_first_answer_taken_back() -> None:
    table = Table()
    table.notice(*turn(said(10.0, 1.0, 0.25)))
    table.now += 0.8
    done = table.notice(*turn(said(12.0, 0.5, 0.5)))
    assert done == ["withdraw 1", "silence", "early for 1", "keep 2"]
    joined = table.heard[-1]
    assert joined.start_seconds == 10.0
    assert joined.seconds == pytest.approx(1.0 + 0.3 + 0.5)
    assert joined.longest_pause_seconds == pytest.approx(1.0)
    assert np.unique(joined.samples).tolist() == [0.0, 0.25, 0.5]


def test_it_goes_on_twice() -> None:
    table = Table()
    table.notice(*turn(said(10.0)))
    table.notice(*turn(said(12.0)))
    assert table.notice(*turn(said(14.0)))[:2] == ["withdraw 2", "silence"]
    assert table.heard[-1].start_seconds == 10.0
    assert table.heard[-1].seconds == pytest.approx(3.6)


@pytest.mark.parametrize(
    ("later", "reply_after", "goes_on"),
    [
        (0.5, None, True),
        (2.4, None, True),
        (2.6, None, False),
        (1.0, 0.4, True),  # the reply has only just begun: who was cut off goes on
        (1.0, 0.2, False),  # the reply was heard: this is an answer to it
        (1.0, -5.0, True),  # that was the reply before
    ],
)
def test_who_goes_on_and_who_begins_anew(
    later: float, reply_after: float | None, goes_on: bool
) -> None:
    table = Table()
    table.notice(*turn(said(10.0)))
    if reply_after is not None:
        table.reply_began_at = table.now + reply_after
    table.now += later
    done = table.notice(SpeechStarted(12.0))
    assert done == (["withdraw 1", "silence"] if goes_on else ["interrupt"])
    assert later - 0.4 < INTO_REPLY_SECONDS or not goes_on or reply_after in (None, -5.0)


def test_a_cough_after_a_turn_takes_nothing_from_its_answer() -> None:
    table = Table()
    first = said(10.0)
    table.notice(*turn(first))
    assert table.notice(SpeechStarted(11.5), SpeechCancelled(11.5)) == [
        "withdraw 1",
        "silence",
        "hear 2 for 1",
    ]
    assert np.array_equal(table.heard[-1].samples, first.samples)
    assert not table.attention.needed


def test_halves_that_are_too_long_for_one_turn_are_two() -> None:
    table = Table()
    table.notice(SpeechStarted(0.0), said(0.0, 20.0))
    second = said(21.0, 15.0)
    assert table.notice(SpeechStarted(21.0), SpeechPaused(second), second) == [
        "withdraw 1",
        "silence",
        "hear 2 for 1",
        "hear 3",
    ]
    assert [segment.seconds for segment in table.heard[1:]] == [20.0, 15.0]


@pytest.mark.parametrize("early", [True, False])
def test_what_is_said_over_a_reply_is_not_learnt_from(early: bool) -> None:
    table = Table(over_reply=True, busy=not early)
    table.notice(*turn(said(0.0)))
    assert table.learn == [False]


def test_attention_ends_even_if_the_conversation_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> int:
        raise OSError

    table = Table(busy=True)
    monkeypatch.setattr(table, "hear", fail)
    with pytest.raises(OSError):  # noqa: PT011
        table.notice(*turn(said(0.0)))
    assert not table.attention.needed


@given(
    st.lists(
        st.tuples(st.sampled_from(["turn", "pauses", "cough"]), st.floats(0.1, 4.0)), max_size=12
    ),
    st.booleans(),
)
def test_every_turn_is_answered_once(doing: list[tuple[str, float]], busy: bool) -> None:
    """Whatever is said and when: at the end, each sample of speech is in the answer of one turn
    that was not taken back."""
    table = Table(busy=busy)
    answered: dict[int, Segment] = {}
    spoken_seconds = 0.0

    def told(done: list[str], segment: Callable[[], Segment]) -> None:
        for one in done:
            verb, _, rest = one.partition(" ")
            if verb == "withdraw":
                answered.pop(int(rest))
            if verb in ("keep", "hear"):
                answered[int(rest.split(" ")[0])] = segment()

    position = 0.0
    for what, later in doing:
        table.now += later
        position += later
        if what == "cough":
            events: list[SegmentEvent] = [SpeechStarted(position), SpeechCancelled(position)]
        else:
            segment = said(position)
            pauses: list[SegmentEvent] = (
                [SpeechPaused(segment), SpeechResumed()] if what == "pauses" else []
            )
            events = [SpeechStarted(position), *pauses, SpeechPaused(segment), segment]
            spoken_seconds += 1.0
            position += 1.0
        told(table.notice(*events), lambda: table.heard[-1])
    said_samples = sum(int(np.count_nonzero(one.samples)) for one in answered.values())
    assert said_samples == round(spoken_seconds * SAMPLE_RATE_HZ)
    assert not table.attention.needed


def test_what_was_begun_in_private_is_not_kept_whenever_it_ends() -> None:
    table = Table(may_keep=False)
    table.taking.noticed(SpeechStarted(0.0))
    table.may_keep = True
    table.taking.noticed(said(0.0))
    assert table.may_keeps == [False]
    table.now += 1.0
    table.taking.noticed(SpeechStarted(2.0))  # the sentence goes on: it is one with its beginning
    table.taking.noticed(said(2.0))
    assert table.may_keeps == [False, False]
    table.now += 60.0
    table.taking.noticed(SpeechStarted(70.0))
    table.taking.noticed(said(70.0))
    assert table.may_keeps == [False, False, True]
