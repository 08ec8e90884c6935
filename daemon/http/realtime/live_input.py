"""Finds the turns in sound that a client sends without end."""

import base64
import binascii
from collections.abc import Sequence

import numpy as np
import soxr

from engines.audio.segmenter import SegmenterLimits, SegmentEvent
from engines.audio.stream_cutter import StreamCutter
from engines.types import SAMPLE_RATE_HZ, Float32

from ..errors import RefusedError

RATE_HZ = 24000
"""The sample rate of the protocol's sound: 16 bits, little-endian, one channel."""
MOST_SECONDS = 60.0
"""The most sound that waits for its client to commit it."""


def samples_in(audio: str) -> Float32:
    """[n] samples at RATE_HZ, from base64. Raises RefusedError where it is malformed."""
    try:
        pcm = base64.b64decode(audio, validate=True)
    except (binascii.Error, ValueError) as error:
        raise RefusedError(400, "the sound is not in base64", None, "audio") from error
    if len(pcm) % 2:
        raise RefusedError(400, "the sound has half a sample", None, "audio")
    return np.frombuffer(pcm, "<i2").astype(np.float32) / np.float32(32768)


class LiveInput:
    """The sound of one session."""

    def __init__(self, limits: SegmenterLimits, end_seconds: float | None) -> None:
        """Find turns that end with `end_seconds` of silence; with None, only the client says where
        one ends."""
        self._resampler = soxr.ResampleStream(RATE_HZ, SAMPLE_RATE_HZ, 1, dtype="float32")
        self._cutter = StreamCutter(limits)
        self._kept: list[Float32] = []
        """Sound since the last commit, where the client says where a turn ends."""
        self.set_end(end_seconds)
        self.seconds = 0.0
        """All the sound that was taken."""

    def set_end(self, end_seconds: float | None) -> None:
        """Find turns in another way from now on."""
        self.finds_turns = end_seconds is not None
        if end_seconds is not None:
            self._cutter.segmenter.end_silence_seconds = end_seconds

    def push(self, samples: Float32) -> Sequence[SegmentEvent]:
        """Take the next [n] samples at RATE_HZ; returns what begins and ends in them. Raises
        RefusedError where too much waits to be committed."""
        self.seconds += len(samples) / RATE_HZ
        taken = self._resampler.resample_chunk(samples)
        if not self.finds_turns:
            if sum(map(len, self._kept)) > MOST_SECONDS * SAMPLE_RATE_HZ:
                raise RefusedError(400, f"commit the sound: there are {MOST_SECONDS:.0f} s of it")
            self._kept.append(taken)
            return ()
        return list(self._cutter.push(taken))

    def commit(self) -> Float32 | SegmentEvent | None:
        """End the turn here: what was said in it, [n] samples at SAMPLE_RATE_HZ, or how the speech
        that had begun ends; None if there is nothing."""
        if self.finds_turns:
            return self._cutter.segmenter.flush()
        kept, self._kept = self._kept, []
        return np.concatenate(kept) if kept else None

    def clear(self) -> None:
        """Forget what was not committed."""
        self._kept.clear()
        self._cutter.clear()
