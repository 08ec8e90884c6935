"""The listening thread: from a stream to segments, and on after every failure."""

import threading
from pathlib import Path

import numpy as np
import pytest

from daemon.listening.listener import MAX_FAILURES_IN_A_ROW, Listener
from daemon.listening.source import WavSource
from daemon.listening.status import SourceStatus
from engines.audio.segmenter import Segmenter, SegmentEvent, SpeechStarted
from engines.audio.vad import CHUNK_SAMPLES, SileroVad
from engines.types import SAMPLE_RATE_HZ, Float32, Segment
from tests.support.audio_fixtures import prompt

PROMPTS = ["vm-intro", "agent-alreadyon", "vm-goodbye"]


class ScriptedSource:
    """Chunks, and errors where the script has them; `read` goes on after an error with what comes
    next."""

    def __init__(self, script: list[Float32 | Exception]) -> None:
        self.script = iter(script)
        self.closed = threading.Event()

    def read(self, at_most: int) -> Float32 | None:
        each = next(self.script, None)
        if isinstance(each, Exception):
            raise each
        return None if each is None else each[np.newaxis]

    def status(self) -> SourceStatus:
        return SourceStatus("script", not self.closed.is_set(), 0.0)

    def close(self) -> None:
        self.closed.set()


def quiet(count: int) -> list[Float32 | Exception]:
    return [np.zeros(CHUNK_SAMPLES, np.float32)] * count


def spoken(general_speech: Path, name: str) -> list[Float32 | Exception]:
    samples = prompt(general_speech, name)
    return list(np.pad(samples, (0, -len(samples) % CHUNK_SAMPLES)).reshape(-1, CHUNK_SAMPLES))


def listen(source: ScriptedSource | WavSource, events: list[SegmentEvent]) -> Listener:
    listener = Listener(source, SileroVad(), Segmenter(), events.append)
    listener.start()
    assert listener.join(120)
    return listener


def test_a_stream_of_prompts_is_cut_into_them(general_speech: Path) -> None:
    events: list[SegmentEvent] = []
    source = WavSource(
        [general_speech / f"{name}.g722" for name in PROMPTS], speed=0.0, pause_seconds=1.2
    )
    listener = listen(source, events)
    assert listener.status().state == "ended"
    assert [type(event).__name__ for event in events] == ["SpeechStarted", "Segment"] * 3
    at_seconds = 0.0
    for segment, name in zip(
        [event for event in events if isinstance(event, Segment)], PROMPTS, strict=True
    ):
        seconds = len(prompt(general_speech, name)) / SAMPLE_RATE_HZ
        assert at_seconds - 0.5 < segment.start_seconds < at_seconds + 0.6
        assert segment.start_seconds + segment.seconds == pytest.approx(
            at_seconds + seconds, abs=0.6
        )
        at_seconds += seconds + 1.2
    assert listener.status().heard_seconds == pytest.approx(at_seconds, abs=0.1)


def test_a_file_waits_while_an_event_is_handled(general_speech: Path) -> None:
    """At speed 0 the stream may not run away from whoever answers."""
    went_on, let_go = threading.Event(), threading.Event()

    def handle(event: SegmentEvent) -> None:
        went_on.set()
        assert let_go.wait(120)

    listener = Listener(
        WavSource(general_speech / "vm-intro.g722", 0.0, pause_seconds=5.0),
        SileroVad(),
        Segmenter(),
        handle,
    )
    listener.start()
    assert went_on.wait(120)
    heard_seconds = listener.status().heard_seconds
    assert not listener.join(0.3)
    assert listener.status().heard_seconds == heard_seconds < 2.0
    let_go.set()
    assert listener.join(120)
    assert listener.status().heard_seconds > 5.0


def test_it_goes_on_after_an_error_of_the_source(
    general_speech: Path, caplog: pytest.LogCaptureFixture
) -> None:
    events: list[SegmentEvent] = []
    speech = spoken(general_speech, "vm-intro")
    script = [*speech[:60], OSError("unplugged"), *speech[60:], *quiet(40)]
    listener = listen(ScriptedSource(script), events)
    status = listener.status()
    assert (status.state, status.failures) == ("ended", 1)
    assert "unplugged" in status.problem
    assert "unplugged" in caplog.text
    segments = [event for event in events if isinstance(event, Segment)]
    assert len(segments) == 2, "what was said before the gap is not glued to what was said after it"
    assert segments[0].start_seconds + segments[0].seconds == pytest.approx(
        60 * CHUNK_SAMPLES / SAMPLE_RATE_HZ
    )


def test_it_fails_in_the_open_when_the_source_keeps_failing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    ended = threading.Event()
    source = ScriptedSource([OSError(f"broken {count}") for count in range(20)])
    listener = Listener(source, SileroVad(), Segmenter(), lambda event: None, on_end=ended.set)
    listener.start()
    assert ended.wait(120)
    status = listener.status()
    assert status.state == "failed"
    assert status.failures == MAX_FAILURES_IN_A_ROW + 1
    assert f"broken {MAX_FAILURES_IN_A_ROW}" in status.problem
    assert source.closed.is_set()
    assert "in a row" in caplog.text


def test_a_defect_of_the_handler_does_not_end_listening(
    general_speech: Path, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[SegmentEvent] = []

    def handle(event: SegmentEvent) -> None:
        seen.append(event)
        raise ZeroDivisionError("a defect")

    source = ScriptedSource(
        [
            *spoken(general_speech, "vm-intro"),
            *quiet(40),
            *spoken(general_speech, "vm-goodbye"),
            *quiet(40),
        ]
    )
    listener = Listener(source, SileroVad(), Segmenter(), handle)
    listener.start()
    assert listener.join(120)
    assert len(seen) == 4
    assert listener.status().state == "ended"
    assert listener.status().failures == 4
    assert "ZeroDivisionError" in caplog.text


def test_stop_hands_on_what_was_being_said(general_speech: Path) -> None:
    started = threading.Event()
    events: list[SegmentEvent] = []

    def handle(event: SegmentEvent) -> None:
        events.append(event)
        if isinstance(event, SpeechStarted):
            started.set()

    listener = Listener(
        WavSource(general_speech / "vm-intro.g722", speed=1.0), SileroVad(), Segmenter(), handle
    )
    listener.start()
    assert started.wait(120)
    listener.stop()
    assert listener.join(120)
    assert listener.status().state == "ended"
    assert len(events) == 2


def test_chunks_that_are_heard_together_make_no_event_late(general_speech: Path) -> None:
    """In silence it hears several chunks at once, for the processor's sake."""
    stream = [*quiet(11), *spoken(general_speech, "vm-intro"), *quiet(40)]
    taken, seen = 0, []

    class Counted(ScriptedSource):
        def read(self, at_most: int) -> Float32 | None:
            nonlocal taken
            taken += 1
            return super().read(at_most)

    def handle(event: SegmentEvent) -> None:
        seen.append((type(event), taken))

    listener = Listener(Counted(stream), SileroVad(), Segmenter(), handle)
    listener.start()
    assert listener.join(120)
    vad, segmenter = SileroVad(), Segmenter()
    at_once = [
        (type(event), number)
        for number, chunk in enumerate(stream, 1)
        if isinstance(chunk, np.ndarray)
        and (event := segmenter.push(chunk, vad.probabilities(chunk[None])[0]))
    ]
    assert len(at_once) == 2
    assert seen == at_once


@pytest.mark.parametrize("hurries", [False, True])
def test_in_a_hurry_each_chunk_is_handed_on_as_it_comes(hurries: bool) -> None:
    read: list[int] = []
    handed_on: list[int] = []

    class Counting(ScriptedSource):
        def read(self, at_most: int) -> Float32 | None:
            read.append(at_most)
            return super().read(at_most)

    listener = Listener(
        Counting(quiet(12)),
        SileroVad(),
        Segmenter(),
        lambda event: None,
        on_chunk=lambda chunk, probability: handed_on.append(len(read)),
        in_a_hurry=lambda: hurries,
    )
    listener.start()
    assert listener.join(120)
    assert len(handed_on) == 12
    assert (handed_on == list(range(1, 13))) is hurries


def test_a_muted_microphone_needs_no_model(general_speech: Path) -> None:
    asked = 0

    class Counting(SileroVad):
        def probabilities(self, chunks: Float32) -> list[float]:
            nonlocal asked
            asked += 1
            return super().probabilities(chunks)

    events: list[SegmentEvent] = []
    listener = Listener(
        ScriptedSource([*quiet(1000), *spoken(general_speech, "vm-intro"), *quiet(1000)]),
        Counting(),
        Segmenter(),
        events.append,
    )
    listener.start()
    assert listener.join(120)
    assert [type(event) for event in events] == [SpeechStarted, Segment]
    assert 20 < asked < 250


def test_progress_for_a_watchdog() -> None:
    now = [100.0]
    listener = Listener(
        ScriptedSource(quiet(10)),
        SileroVad(),
        Segmenter(),
        lambda event: None,
        clock=lambda: now[0],
    )
    listener.start()
    assert listener.join(120)
    assert listener.status().seconds_since_chunk == 0.0
    now[0] = 107.0
    assert listener.status().seconds_since_chunk == 7.0
