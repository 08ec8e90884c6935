"""A microphone into which tests speak: between what is said it gives silence, faster than real
time."""

import threading
import time
from collections import deque

import numpy as np

from daemon.config.settings import AudioSettings
from daemon.listening.source import AudioSource
from daemon.listening.status import SourceStatus
from engines.audio.vad import CHUNK_SAMPLES
from engines.types import SAMPLE_RATE_HZ, Float32

_CHUNK_SECONDS = 0.004
"""Eight times as fast as real time."""


class FakeMicrophone:
    """Lends itself, as `AudioSources` lends a microphone."""

    def __init__(self) -> None:
        self._waiting: deque[Float32] = deque()
        self._closed = threading.Event()

    def say(self, *pieces: Float32) -> None:
        """Speak into it: pieces of [n] samples."""
        samples = np.concatenate(pieces)
        padded = np.pad(samples, (0, -len(samples) % CHUNK_SAMPLES))
        self._waiting.extend(padded.reshape(-1, CHUNK_SAMPLES))

    @property
    def waiting_seconds(self) -> float:
        """The sound that was said to it, and is not given yet."""
        return len(self._waiting) * CHUNK_SAMPLES / SAMPLE_RATE_HZ

    @property
    def empty(self) -> bool:
        """Whether all that was said was given."""
        return not self._waiting

    def lend(self, audio: AudioSettings) -> AudioSource | None:
        return None if audio.source == "none" else self

    def read(self, at_most: int) -> Float32 | None:
        if self._closed.is_set():
            return None
        time.sleep(_CHUNK_SECONDS)
        if not self._waiting:
            return np.zeros((1, CHUNK_SAMPLES), np.float32)
        count = min(at_most, len(self._waiting))
        return np.stack([self._waiting.popleft() for _ in range(count)])

    def status(self) -> SourceStatus:
        return SourceStatus("fake microphone", True, 0.0)

    def close(self) -> None:
        self._closed.set()
