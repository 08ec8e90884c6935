"""Cuts sound that comes in pieces of any length into segments of speech."""

from collections.abc import Iterator

import numpy as np

from ..types import Float32
from .segmenter import Segmenter, SegmenterLimits, SegmentEvent
from .vad import CHUNK_SAMPLES, SileroVad


class StreamCutter:
    """Voice activity detection and a segmenter for one stream."""

    def __init__(self, limits: SegmenterLimits) -> None:
        self.segmenter = Segmenter(limits)
        self._vad = SileroVad()
        self._waiting = np.zeros(0, np.float32)
        """What is less than a chunk."""

    def push(self, samples: Float32) -> Iterator[SegmentEvent]:
        """Take the next [n] samples at SAMPLE_RATE_HZ, and yield each event as its chunk is
        reached: `segmenter` is as it was then. What is not iterated over is lost."""
        self._waiting = np.concatenate([self._waiting, samples])
        count = len(self._waiting) // CHUNK_SAMPLES
        if not count:
            return
        chunks = self._waiting[: count * CHUNK_SAMPLES].reshape(count, CHUNK_SAMPLES)
        self._waiting = self._waiting[count * CHUNK_SAMPLES :]
        for chunk, probability in zip(chunks, self._vad.probabilities(chunks), strict=True):
            if (event := self.segmenter.push(chunk, probability)) is not None:
                yield event

    def clear(self) -> None:
        """Forget what was said and has not ended."""
        self.segmenter.flush()
        self._waiting = np.zeros(0, np.float32)
        self._vad.reset()
