"""Sound is cut alike, however it comes."""

from pathlib import Path

import numpy as np
import pytest

from engines.audio.segmenter import SegmenterLimits
from engines.audio.stream_cutter import StreamCutter
from engines.types import Float32, Segment
from tests.support.audio_fixtures import prompt


def cut(samples: Float32, step: int) -> list[Segment]:
    cutter = StreamCutter(SegmenterLimits())
    pieces = (samples[start : start + step] for start in range(0, len(samples), step))
    events = [event for piece in pieces for event in cutter.push(piece)]
    return [event for event in events if isinstance(event, Segment)]


@pytest.mark.parametrize("step", [1, 511, 512, 4000, 10**6])
def test_pieces_of_any_length_are_cut_alike(step: int, general_speech: Path) -> None:
    pause = np.zeros(16_000, np.float32)
    samples = np.concatenate([prompt(general_speech, "vm-goodbye"), pause] * 2)
    if step == 1:
        samples = samples[: len(samples) // 2]
    expected, found = cut(samples, 512), cut(samples, step)
    assert len(expected) == len(found) > 0
    for one, other in zip(expected, found, strict=True):
        assert one.start_seconds == other.start_seconds
        assert np.array_equal(one.samples, other.samples)


def test_what_was_said_is_forgotten(general_speech: Path) -> None:
    cutter = StreamCutter(SegmenterLimits())
    list(cutter.push(prompt(general_speech, "vm-goodbye")[:8000]))
    cutter.clear()
    assert list(cutter.push(np.zeros(32_000, np.float32))) == []
    assert cutter.segmenter.flush() is None
