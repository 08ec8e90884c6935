"""The segmenter as a pure machine: whatever the probabilities, speech is neither lost nor heard
twice."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.audio.segmenter import (
    Segmenter,
    SegmenterLimits,
    SegmentEvent,
    SpeechCancelled,
    SpeechGoesOn,
    SpeechPaused,
    SpeechResumed,
    SpeechStarted,
)
from engines.types import SAMPLE_RATE_HZ, Segment

CHUNK = 512
CHUNK_SECONDS = CHUNK / SAMPLE_RATE_HZ
DEFAULTS = SegmenterLimits()


@dataclass(frozen=True)
class Heard:
    """An event and the number of samples pushed when it came."""

    event: SegmentEvent
    at_samples: int


def run(
    probabilities: Iterable[float],
    limits: SegmenterLimits = DEFAULTS,
    split: int = 1,
    segmenter: Segmenter | None = None,
) -> list[Heard]:
    """Push one chunk for each probability, cut into `split` parts; the value of each sample is its
    position in the stream."""
    segmenter, position, heard = segmenter or Segmenter(limits), 0, []
    for probability in probabilities:
        for _ in range(split):
            samples = np.arange(position, position + CHUNK // split, dtype=np.float32)
            position += len(samples)
            event = segmenter.push(samples, probability)
            samples[:] = -1  # the caller may reuse its buffer
            if event:
                heard.append(Heard(event, position))
    last = segmenter.flush()
    return heard + ([Heard(last, position)] if last else [])


def chunks(seconds: float, probability: float) -> list[float]:
    return [probability] * round(seconds / CHUNK_SECONDS)


def segments(heard: list[Heard]) -> list[Segment]:
    return [each.event for each in heard if isinstance(each.event, Segment)]


def starts_of(heard: list[Heard]) -> list[float]:
    """The `start_seconds` of all events, which must have one."""
    return [event.start_seconds for event in map(started, heard)]


def started(heard: Heard) -> SpeechStarted | SpeechCancelled | Segment:
    assert not isinstance(heard.event, SpeechPaused | SpeechResumed | SpeechGoesOn)
    return heard.event


def names(heard: list[Heard]) -> list[str]:
    return [type(each.event).__name__ for each in heard]


def span(start_seconds: float, samples: int) -> range:
    start = round(start_seconds * SAMPLE_RATE_HZ)
    return range(start, start + samples)


counts = st.integers(1, 8)


@st.composite
def limits(draw: st.DrawFn) -> SegmenterLimits:
    start, silence, roll, least = draw(counts), draw(counts) + 2, draw(counts) - 1, draw(counts)
    after = draw(counts) - 1
    return SegmenterLimits(
        start_seconds=start * CHUNK_SECONDS,
        end_silence_seconds=silence * CHUNK_SECONDS,
        max_seconds=(2 * (start + silence + roll + least) + draw(st.integers(1, 30)))
        * CHUNK_SECONDS,
        pre_roll_seconds=roll * CHUNK_SECONDS,
        post_roll_seconds=after * CHUNK_SECONDS,
        min_speech_seconds=least * CHUNK_SECONDS,
        start_threshold=0.5,
        stop_threshold=0.35,
    )


streams = st.lists(
    st.tuples(st.sampled_from([0.0, 0.2, 0.4, 0.6, 0.9]), st.integers(1, 30)), max_size=30
).map(lambda runs: [probability for probability, count in runs for _ in range(count)])


@given(streams, limits(), st.integers(1, 20))
def test_what_is_said_so_far_grows_into_the_segment(
    probabilities: list[float], limits: SegmenterLimits, progress: int
) -> None:
    plain, telling = Segmenter(limits), Segmenter(limits)
    telling.progress_seconds = progress * CHUNK_SECONDS
    heard = run(probabilities, segmenter=telling)
    so_far: list[Segment] = []
    for each in heard:
        if isinstance(each.event, SpeechGoesOn):
            grown = len(each.event.segment.samples) - (len(so_far[-1].samples) if so_far else 0)
            assert grown >= 0
            so_far.append(each.event.segment)
        elif isinstance(each.event, Segment):
            for part in so_far:
                length = min(len(part.samples), len(each.event.samples))
                assert np.array_equal(part.samples[:length], each.event.samples[:length])
            so_far = []
        elif isinstance(each.event, SpeechCancelled):
            so_far = []
    others = [each for each in heard if not isinstance(each.event, SpeechGoesOn)]
    assert names(others) == names(run(probabilities, segmenter=plain))


def test_speech_is_told_every_so_often() -> None:
    segmenter = Segmenter()
    segmenter.progress_seconds = 1.0
    heard = run(chunks(3.4, 0.9) + chunks(2.0, 0.0), segmenter=segmenter)
    assert names(heard) == ["SpeechStarted", *["SpeechGoesOn"] * 3, "Segment"]


def test_a_segment_is_ended_from_outside() -> None:
    segmenter = Segmenter()
    segmenter.end_now()  # nobody speaks: it ends nothing
    speech = chunks(1.0, 0.9)
    samples = np.ones(CHUNK, np.float32)
    events = [segmenter.push(samples, probability) for probability in speech]
    assert [type(event).__name__ for event in events if event] == ["SpeechStarted"]
    segmenter.end_now()
    ended = segmenter.push(samples, 0.9)
    assert isinstance(ended, Segment)
    assert ended.seconds == pytest.approx(1.0, abs=0.1)
    later = [segmenter.push(samples, probability) for probability in speech]
    assert [type(event).__name__ for event in later if event] == ["SpeechStarted"]


def test_one_utterance() -> None:
    heard = run(chunks(1.0, 0.0) + chunks(1.5, 0.9) + chunks(2.0, 0.0))
    assert names(heard) == ["SpeechStarted", "Segment"]
    start, end = (each.at_samples / SAMPLE_RATE_HZ for each in heard)
    assert start == pytest.approx(1.0 + DEFAULTS.start_seconds, abs=2 * CHUNK_SECONDS)
    assert end == pytest.approx(2.5 + DEFAULTS.end_silence_seconds, abs=2 * CHUNK_SECONDS)
    (segment,) = segments(heard)
    assert segment.start_seconds == pytest.approx(
        1.0 - DEFAULTS.pre_roll_seconds, abs=2 * CHUNK_SECONDS
    )
    assert segment.start_seconds + segment.seconds == pytest.approx(
        2.5 + DEFAULTS.post_roll_seconds, abs=2 * CHUNK_SECONDS
    )


def test_a_click_starts_nothing() -> None:
    assert run([*chunks(1.0, 0.0), 0.9, 0.9, *chunks(1.0, 0.0)]) == []


def test_a_blip_is_cancelled() -> None:
    heard = run([*chunks(1.0, 0.0), *[0.9] * 5, *chunks(1.0, 0.0)])
    assert names(heard) == ["SpeechStarted", "SpeechCancelled"]
    began, cancelled = (each.event for each in heard)
    assert isinstance(began, SpeechStarted)
    assert isinstance(cancelled, SpeechCancelled)
    assert began.start_seconds == cancelled.start_seconds


def test_hysteresis_bridges_a_soft_stretch() -> None:
    assert names(
        run(chunks(0.5, 0.9) + chunks(1.0, 0.4) + chunks(0.5, 0.9) + chunks(1.0, 0.0))
    ) == ["SpeechStarted", "Segment"]
    assert run(chunks(5.0, 0.4)) == [], "below the start threshold nothing starts"


def test_a_pause_within_a_sentence_does_not_end_it() -> None:
    assert (
        len(
            segments(run(chunks(0.5, 0.9) + chunks(0.4, 0.0) + chunks(0.5, 0.9) + chunks(1.0, 0.0)))
        )
        == 1
    )
    assert (
        len(
            segments(run(chunks(0.5, 0.9) + chunks(0.8, 0.0) + chunks(0.5, 0.9) + chunks(1.0, 0.0)))
        )
        == 2
    )


def test_long_speech_is_cut_and_nothing_is_lost() -> None:
    heard = run(chunks(70.0, 0.9) + chunks(1.0, 0.0))
    assert names(heard) == ["SpeechStarted", "Segment"] * 3
    joined = np.concatenate([segment.samples for segment in segments(heard)])
    np.testing.assert_array_equal(joined, np.arange(len(joined)))
    assert all(segment.seconds <= DEFAULTS.max_seconds for segment in segments(heard))


def test_the_end_of_the_stream_ends_the_segment() -> None:
    heard = run(chunks(1.0, 0.9))
    assert names(heard) == ["SpeechStarted", "Segment"]
    assert segments(heard)[0].seconds == pytest.approx(1.0, abs=CHUNK_SECONDS)
    assert names(run([0.9] * 5)) == ["SpeechStarted", "SpeechCancelled"]


def test_after_a_flush_the_next_stream_follows_on() -> None:
    segmenter = Segmenter()
    for _ in range(20):
        segmenter.push(np.ones(CHUNK, np.float32), 0.9)
    assert isinstance(segmenter.flush(), Segment)
    assert segmenter.flush() is None
    started = [segmenter.push(np.ones(CHUNK, np.float32), 0.9) for _ in range(5)]
    assert SpeechStarted(20 * CHUNK_SECONDS) in started


@pytest.mark.parametrize(
    "wrong",
    [
        {"start_threshold": 0.3},
        {"start_threshold": 1.1},
        {"stop_threshold": 0.0},
        {"start_seconds": 0.0},
        {"end_silence_seconds": -1.0},
        {"pre_roll_seconds": -0.1},
        {"max_seconds": 1.0},
    ],
)
def test_limits_that_contradict_each_other(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        SegmenterLimits(**wrong)


@given(streams, limits())
def test_every_start_has_one_end(probabilities: list[float], within: SegmenterLimits) -> None:
    heard = run(probabilities, within)
    assert names(heard)[::2] == ["SpeechStarted"] * ((len(heard) + 1) // 2)
    assert len(heard) % 2 == 0
    for began, ended in zip(heard[::2], heard[1::2], strict=True):
        assert isinstance(ended.event, Segment | SpeechCancelled)
        assert starts_of([began]) == starts_of([ended])


@given(streams, limits())
def test_segments_are_true_to_the_stream(
    probabilities: list[float], within: SegmenterLimits
) -> None:
    end = 0
    for segment in segments(run(probabilities, within)):
        where = span(segment.start_seconds, len(segment.samples))
        np.testing.assert_array_equal(segment.samples, np.arange(where.start, where.stop))
        assert where.start >= end, "in order, and never overlapping"
        assert segment.seconds <= within.max_seconds + 1e-9
        end = where.stop


@given(streams, limits())
def test_speech_is_in_a_segment_or_was_cancelled(
    probabilities: list[float], within: SegmenterLimits
) -> None:
    heard = run(probabilities, within)
    spans = [
        range(round(started(each).start_seconds * SAMPLE_RATE_HZ), each.at_samples)
        for each in heard
        if isinstance(each.event, SpeechCancelled)
    ] + [span(segment.start_seconds, len(segment.samples)) for segment in segments(heard)]
    total = len(probabilities) * CHUNK
    covered = np.zeros(total, int)
    for where in spans:
        covered[where.start : min(where.stop, total)] = 1
    unbroken, speaking = 0, False
    for index, probability in enumerate([*probabilities, 0.0]):
        speaking = probability >= (within.stop_threshold if speaking else within.start_threshold)
        if speaking:
            unbroken += 1
        else:
            if unbroken * CHUNK_SECONDS >= within.start_seconds - 1e-9:
                lost = int((covered[(index - unbroken) * CHUNK : index * CHUNK] == 0).sum())
                # Only the end of a stream can lose one chunk: the one that opened a new piece after
                # a cut.
                assert lost == 0 or (index == len(probabilities) and lost == CHUNK)
            unbroken = 0


@given(streams, limits())
def test_the_size_of_chunks_does_not_matter(
    probabilities: list[float], within: SegmenterLimits
) -> None:
    ended = [*probabilities, *chunks(1.0, 0.0)]
    whole, halves = run(ended, within), run(ended, within, split=2)
    assert names(whole) == names(halves)
    assert starts_of(whole) == starts_of(halves)
    for one, other in zip(segments(whole), segments(halves), strict=True):
        np.testing.assert_array_equal(one.samples, other.samples)


@given(streams, limits())
def test_no_event_comes_sooner_than_it_says(
    probabilities: list[float], within: SegmenterLimits
) -> None:
    segmenter, soonest = Segmenter(within), 0
    for position in range(CHUNK, (len(probabilities) + 1) * CHUNK, CHUNK):
        soonest = max(soonest, position - CHUNK + segmenter.samples_to_event)
        event = segmenter.push(np.ones(CHUNK, np.float32), probabilities[position // CHUNK - 1])
        assert event is None or position >= soonest


def test_in_silence_a_start_needs_all_of_its_speech() -> None:
    segmenter = Segmenter()
    said = []
    for probability in [0.0, 0.9, 0.9, 0.0, *[0.9] * 5]:
        said.append(segmenter.samples_to_event)
        segmenter.push(np.ones(CHUNK, np.float32), probability)
    assert said == [1600, 1600, 1088, 576, 1600, 1088, 576, 64, 1]


# --- pauses


def run_with_pauses(
    probabilities: list[float], pause_seconds: float, limits: SegmenterLimits | None = None
) -> list[Heard]:
    segmenter = Segmenter(limits)
    segmenter.pause_seconds = pause_seconds
    return run(probabilities, segmenter=segmenter)


def test_a_pause_gives_the_segment_that_follows_if_nothing_more_is_said() -> None:
    heard = run_with_pauses(chunks(1.0, 0.0) + chunks(1.5, 0.9) + chunks(2.0, 0.0), 0.3)
    assert names(heard) == ["SpeechStarted", "SpeechPaused", "Segment"]
    paused, segment = heard[1].event, heard[2].event
    assert isinstance(paused, SpeechPaused)
    assert isinstance(segment, Segment)
    assert np.array_equal(paused.segment.samples, segment.samples)
    assert paused.segment.start_seconds == segment.start_seconds
    assert heard[1].at_samples < heard[2].at_samples


def test_speech_that_goes_on_resumes_and_pauses_again() -> None:
    speech = chunks(1.0, 0.9) + chunks(0.45, 0.0)
    heard = run_with_pauses(speech * 2 + chunks(2.0, 0.0), 0.3)
    assert names(heard) == [
        "SpeechStarted",
        "SpeechPaused",
        "SpeechResumed",
        "SpeechPaused",
        "Segment",
    ]
    [segment] = segments(heard)
    assert segment.longest_pause_seconds == pytest.approx(0.45, abs=2 * CHUNK_SECONDS)


def test_a_segmenter_that_is_not_asked_for_pauses_gives_none() -> None:
    assert names(run(chunks(1.0, 0.9) + chunks(0.5, 0.0) + chunks(1.0, 0.9))) == [
        "SpeechStarted",
        "Segment",
    ]


def test_the_silence_that_ends_a_segment_may_change_meanwhile() -> None:
    segmenter = Segmenter()
    segmenter.end_silence_seconds = 1.5
    speech = chunks(1.0, 0.9) + chunks(1.2, 0.0) + chunks(1.0, 0.9) + chunks(2.0, 0.0)
    assert names(run(speech, segmenter=segmenter)) == ["SpeechStarted", "Segment"]


@given(streams, limits(), st.integers(1, 12))
def test_pauses_change_no_segment(
    probabilities: list[float], limits: SegmenterLimits, pause_chunks: int
) -> None:
    heard = run_with_pauses(probabilities, pause_chunks * CHUNK_SECONDS, limits)
    plain = run(probabilities, limits)
    assert [
        name for name in names(heard) if name not in ("SpeechPaused", "SpeechResumed")
    ] == names(plain)
    open_pause = False
    for each in heard:
        if isinstance(each.event, SpeechPaused):
            assert not open_pause
            open_pause = True
        elif isinstance(each.event, SpeechResumed):
            assert open_pause
            open_pause = False
        else:
            open_pause = False
