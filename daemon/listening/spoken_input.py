"""Finds what was said in the sound that a client sends, and when it has ended: by the silence that
ends its user's turns."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import soxr

from engines.audio.segmenter import SegmenterLimits, SpeechCancelled
from engines.audio.stream_cutter import StreamCutter
from engines.audio.vad import CHUNK_SAMPLES
from engines.errors import AttuneError
from engines.types import SAMPLE_RATE_HZ, Float32, Segment

LEAST_RATE_HZ, MOST_RATE_HZ = 8000, 192_000
_MOST_CHANNELS = 8


@dataclass(frozen=True)
class SoundFormat:
    """The format of the sound that a client sends: whole numbers, little-endian, channels
    interleaved."""

    rate_hz: int
    width_bytes: int
    channels: int


class SpokenInput:
    """One utterance of one client."""

    def __init__(self, limits: SegmenterLimits, end_seconds: float, given: SoundFormat) -> None:
        """Take sound in the format `given`. Raises AttuneError if that is not one of 16 bits."""
        if (
            given.width_bytes != 2
            or not 1 <= given.channels <= _MOST_CHANNELS
            or not LEAST_RATE_HZ <= given.rate_hz <= MOST_RATE_HZ
        ):
            raise AttuneError(
                f"sound has 16 bits, 1 to {_MOST_CHANNELS} channels and {LEAST_RATE_HZ} to"
                f" {MOST_RATE_HZ} samples a second, not {8 * given.width_bytes} bits,"
                f" {given.channels} channels and {given.rate_hz}"
            )
        self._channels = given.channels
        self._resampler: Any = (
            None
            if given.rate_hz == SAMPLE_RATE_HZ
            else soxr.ResampleStream(given.rate_hz, SAMPLE_RATE_HZ, 1, dtype="float32")
        )
        self._cutter = StreamCutter(limits)
        self._segmenter = self._cutter.segmenter
        self._segmenter.end_silence_seconds = end_seconds
        self._odd = b""
        self._cut: list[Segment] = []
        """What was said so far, where that is more than one segment takes."""
        self.seconds = 0.0
        """The sound that was taken so far."""

    def push(self, pcm: bytes) -> list[Segment] | None:
        """Take the next bytes; returns what was said once that has ended, in more than one segment
        if it is long."""
        return self._take(self.samples_of(pcm))

    def samples_of(self, pcm: bytes) -> Float32:
        """The next bytes as [n] samples at SAMPLE_RATE_HZ."""
        given = self._odd + pcm
        whole = len(given) - len(given) % (2 * self._channels)
        self._odd = given[whole:]
        frames = np.frombuffer(given[:whole], "<i2").astype(np.float32) / 32768
        mono: Float32 = frames.reshape(-1, self._channels).mean(axis=1)
        return mono if self._resampler is None else self._resampler.resample_chunk(mono)

    def end(self) -> list[Segment]:
        """Take no more; returns what was said, nothing if nothing was."""
        if self._resampler is not None:
            last = self._resampler.resample_chunk(np.zeros(0, np.float32), last=True)
            found = self._take(last)
            if found is not None:
                return found
        found = self._take(np.zeros(CHUNK_SAMPLES, np.float32))  # what is less than a chunk
        if found is not None:
            return found
        ended = self._segmenter.flush()
        return [*self._cut, ended] if isinstance(ended, Segment) else self._cut

    def _take(self, samples: Float32) -> list[Segment] | None:
        self.seconds += len(samples) / SAMPLE_RATE_HZ
        for event in self._cutter.push(samples):
            if isinstance(event, Segment):
                self._cut.append(event)
            # Speech that was too long for one segment goes on, and may end without any more.
            ends = isinstance(event, Segment | SpeechCancelled)
            if ends and not self._segmenter.in_speech and self._cut:
                return self._cut
        return None
