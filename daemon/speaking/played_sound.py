"""What the loudspeaker played in the last seconds, by the time at which the device says that it
sounds."""

import threading
from collections import deque

import numpy as np
import soxr

from engines.types import SAMPLE_RATE_HZ, Float32

from .loudspeaker import Sounded

_KEPT_SECONDS = 5.0
_SAME_SECONDS = 0.05
"""How far apart two blocks may begin and still follow each other: they are asked for unevenly, and
an echo canceller needs a steady time."""


class PlayedSound:
    """Keeps what was played, at SAMPLE_RATE_HZ. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pieces: deque[tuple[float, Float32]] = deque()
        """When each piece began to sound, by `time.monotonic`, and its samples; none overlap."""
        self._ends_at = self._kept_until = float("-inf")
        """When what was told last ends, and what of it is kept so far: the resampler holds some
        back."""
        self._resampler: soxr.ResampleStream | None = None
        self._rate_hz = 0

    def note(self, sounded: Sounded) -> None:
        """Keep what the loudspeaker plays."""
        with self._lock:
            begins_anew = abs(sounded.at - self._ends_at) > _SAME_SECONDS
            if begins_anew:
                self._ends_at = sounded.at
                # A whole number of samples, so that it stays the same whatever it is compared with.
                self._kept_until = round(sounded.at * SAMPLE_RATE_HZ) / SAMPLE_RATE_HZ
            self._ends_at += len(sounded.samples) / sounded.rate_hz
            samples = self._resampled(sounded, begins_anew)
            self._pieces.append((self._kept_until, samples))
            self._kept_until += len(samples) / SAMPLE_RATE_HZ
            while self._pieces[0][0] < self._ends_at - _KEPT_SECONDS:
                self._pieces.popleft()

    def between(self, start: float, count: int) -> Float32:
        """[count] samples from the time `start` on; zeros where nothing sounded."""
        found = np.zeros(count, np.float32)
        with self._lock:
            for at, samples in self._pieces:
                place = round((at - start) * SAMPLE_RATE_HZ)
                first, last = max(0, place), min(count, place + len(samples))
                if first < last:
                    found[first:last] = samples[first - place : last - place]
        return found

    def sounded_since(self, start: float) -> bool:
        """Whether anything sounded at `start` or later."""
        with self._lock:
            return self._ends_at > start

    def _resampled(self, sounded: Sounded, begins_anew: bool) -> Float32:
        if sounded.rate_hz == SAMPLE_RATE_HZ:
            return sounded.samples
        if self._resampler is None or begins_anew or sounded.rate_hz != self._rate_hz:
            self._resampler = soxr.ResampleStream(
                sounded.rate_hz, SAMPLE_RATE_HZ, 1, dtype="float32"
            )
            self._rate_hz = sounded.rate_hz
        found: Float32 = self._resampler.resample_chunk(sounded.samples)
        return found
