"""Nothing is heard until somebody calls, and then all that follows is."""

from itertools import pairwise

import numpy as np
import pytest

from daemon.listening.source import CHUNK_SECONDS
from daemon.listening.status import SourceStatus
from daemon.listening.takes import TakeRecorder
from daemon.listening.wake import CALLED_SECONDS, CalledSource, WakeGate
from engines.audio.segmenter import SegmentEvent, SpeechCancelled, SpeechStarted
from engines.audio.vad import CHUNK_SAMPLES
from engines.errors import AttuneError
from engines.types import SAMPLE_RATE_HZ, Float32, Segment
from tests.support.audio_fixtures import flite

TEXT = "One two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen."


class World:
    """A gate with a clock, and whether a turn is under way."""

    def __init__(self, follow_up_seconds: float = 5.0) -> None:
        self.now = 0.0
        self.speaking = self.answering = False
        self.told: list[str | None] = []
        self.gate = WakeGate(
            lambda: self.speaking,
            lambda: self.answering,
            follow_up_seconds,
            self.told.append,
            lambda: self.now,
        )

    def at(self, seconds: float) -> bool:
        self.now = seconds
        return self.gate.look()


def test_a_call_opens_the_gate_for_a_while() -> None:
    world = World()
    assert not world.at(0.0)
    world.gate.call("hey_jarvis")
    assert world.at(CALLED_SECONDS - 0.1)
    assert not world.at(CALLED_SECONDS)
    assert world.told == ["hey_jarvis", None]
    assert not world.at(CALLED_SECONDS + 1)
    assert world.told == ["hey_jarvis", None]


def test_nobody_has_to_call_again_soon_after_a_reply() -> None:
    world = World(follow_up_seconds=5.0)
    world.gate.call("own")
    world.answering = True
    assert world.at(60.0)
    world.answering = False
    assert world.at(64.9)
    assert not world.at(65.0)


def test_a_turn_without_a_call_does_not_open_the_gate() -> None:
    world = World()
    world.speaking = world.answering = True
    assert not world.at(1.0)
    assert world.told == []


def test_the_gate_does_not_close_on_somebody_who_speaks_and_noise_does_not_keep_it_open() -> None:
    world = World()
    world.gate.call("own")
    world.speaking = True
    assert world.at(CALLED_SECONDS + 20)
    world.speaking = False
    assert not world.at(CALLED_SECONDS + 20.1)


@pytest.mark.parametrize("under_way", [False, True])
def test_a_button_that_is_released_closes_the_gate(under_way: bool) -> None:
    world = World()
    world.gate.call("button")
    assert world.at(1.0)
    world.speaking = world.answering = under_way
    world.gate.close()
    assert not world.at(1.1)
    assert world.told == ["button", None]
    world.gate.close()
    assert world.told == ["button", None]


def test_who_records_hears_everything_without_a_call() -> None:
    world = World()
    world.gate.hold_open(True)
    assert world.at(0.0)
    world.gate.hold_open(False)
    assert not world.at(0.0)
    assert world.told == []


class Given:
    """A source of [n, CHUNK_SAMPLES]."""

    def __init__(self, chunks: Float32) -> None:
        self.chunks = chunks

    def read(self, at_most: int) -> Float32 | None:
        taken, self.chunks = self.chunks[:at_most], self.chunks[at_most:]
        return taken if len(taken) else None

    def status(self) -> SourceStatus:
        return SourceStatus("given", True, 0.0)

    def close(self) -> None:
        pass


class CallsAt:
    """Hears its word so many samples after it was first given any."""

    def __init__(self, samples: int, since_seconds: float) -> None:
        self.left = samples
        self.since_seconds = since_seconds
        self.given = self.forgotten = 0

    def push(self, samples: Float32) -> float | None:
        before, self.left = self.left, self.left - len(samples)
        self.given += len(samples)
        return self.since_seconds if before > 0 >= self.left else None

    def forget(self) -> None:
        self.forgotten += 1


def numbered(chunks: Float32) -> Float32:
    """The chunks, each with its number in its first sample."""
    chunks = chunks.copy()
    chunks[:, 0] = np.arange(1, len(chunks) + 1) / 32768
    return chunks


def spoken() -> Float32:
    """Four seconds of speech after two of silence."""
    samples = np.concatenate([np.zeros(2 * SAMPLE_RATE_HZ, np.float32), flite(TEXT)])
    samples = samples[: 6 * SAMPLE_RATE_HZ]
    count = len(samples) // CHUNK_SAMPLES
    return numbered(samples[: count * CHUNK_SAMPLES].reshape(count, CHUNK_SAMPLES))


@pytest.mark.parametrize("at_most", [1, 3, 7])
def test_all_that_follows_the_wake_word_is_heard_once_and_in_order(at_most: int) -> None:
    chunks, world = spoken(), World()
    detector = CallsAt(2 * SAMPLE_RATE_HZ, since_seconds=0.4)
    source = CalledSource(Given(chunks), world.gate, "own", detector)
    heard = []
    while (taken := source.read(at_most)) is not None:
        assert len(taken) <= at_most
        heard += [round(float(chunk[0]) * 32768) for chunk in taken if chunk.any()]
    assert world.told == ["own"]
    assert all(later == earlier + 1 for earlier, later in pairwise(heard))
    assert heard[-1] == len(chunks)
    called_at = len(chunks) - len(heard)
    # The detector was given the sound before speech, too; speech begins at two seconds.
    assert 2.0 < called_at * CHUNK_SECONDS < 4.0


def test_without_a_call_nothing_is_heard_and_silence_costs_no_detection() -> None:
    chunks, world = spoken(), World()
    detector = CallsAt(10**9, since_seconds=0.0)
    source = CalledSource(Given(chunks), world.gate, "own", detector)
    while (taken := source.read(3)) is not None:
        assert not taken.any()
    assert detector.given < chunks.size - SAMPLE_RATE_HZ // 2, "what was silent was not given"
    silent = CalledSource(Given(np.zeros_like(chunks)), world.gate, "own", detector)
    given = detector.given
    while silent.read(3) is not None:
        pass
    assert detector.given == given


def test_a_wake_word_is_not_heard_once_more_after_the_gate_was_open() -> None:
    chunks, world = spoken(), World()
    detector = CallsAt(SAMPLE_RATE_HZ, since_seconds=0.2)
    source = CalledSource(Given(np.concatenate([chunks, chunks])), world.gate, "own", detector)
    while world.told != ["own"]:
        source.read(1)
    assert detector.forgotten == 0
    while source.gives_late:
        source.read(1)
    source.read(1)
    world.now = 100.0
    source.read(1)
    assert world.told == ["own", None]
    assert detector.forgotten == 1


def test_without_a_detector_only_a_button_calls() -> None:
    chunks, world = spoken(), World()
    source = CalledSource(Given(chunks), world.gate, "button", None)
    taken = source.read(10)
    assert taken is not None
    assert not taken.any()
    world.gate.call("button")
    heard = source.read(10)
    assert heard is not None
    assert np.array_equal(heard, chunks[10:20])


# --- recording instead of answering


def segment(number: int) -> Segment:
    return Segment(np.full(100, number, np.float32), float(number))


def test_a_segment_belongs_to_the_recorder_or_to_the_conversation_as_a_whole() -> None:
    answered: list[SegmentEvent] = []
    recorder = TakeRecorder(answered.append)
    before, cut = SpeechStarted(0.0), SpeechCancelled(2.0)
    recorder.noticed(before)
    with recorder.recording() as takes:
        recorder.noticed(first := segment(1))  # it began before
        recorder.noticed(SpeechStarted(2.0))
        recorder.noticed(cut)
        recorder.noticed(SpeechStarted(3.0))
        recorder.noticed(segment(3))
        with pytest.raises(AttuneError, match="something else is being recorded"):
            recorder.recording().__enter__()
        recorder.noticed(SpeechStarted(4.0))
    recorder.noticed(segment(4))  # it began while somebody recorded
    recorder.noticed(after := SpeechStarted(5.0))
    assert answered == [before, first, after]
    for number in (3, 4):
        take = takes.get()
        assert take is not None
        assert take[0] == number
    assert takes.empty()
