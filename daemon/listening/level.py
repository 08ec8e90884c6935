"""How loud the microphone is, for those who watch it: it costs nothing while nobody does."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np

from engines.types import Float32

from .source import AudioSource
from .status import SourceStatus

_CHUNKS = 3
"""Chunks in one reading: ten readings a second."""


class LevelMeter:
    """Reads the level of one stream. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._watchers: tuple[Callable[[float], object], ...] = ()
        self._power: list[float] = []

    def push(self, chunk: Float32) -> None:
        """Take the next [n] samples."""
        if not self._watchers:
            self._power.clear()
            return
        self._power.append(float(np.mean(chunk**2)))
        if len(self._power) == _CHUNKS:
            level_db = float(10 * np.log10(np.mean(self._power) + 1e-12))
            self._power.clear()
            for watch in self._watchers:
                watch(level_db)

    @contextmanager
    def watched(self, watch: Callable[[float], object]) -> Iterator[None]:
        """Call `watch` with each level, in decibels below full scale, until the block ends. It must
        take no time."""
        with self._lock:
            self._watchers = (*self._watchers, watch)
        try:
            yield
        finally:
            with self._lock:
                self._watchers = tuple(one for one in self._watchers if one is not watch)


class MeteredSource:
    """An AudioSource whose level is read."""

    def __init__(self, source: AudioSource, meter: LevelMeter) -> None:
        self._source = source
        self._meter = meter

    def read(self, at_most: int) -> Float32 | None:
        """Return the next chunks; see `AudioSource`."""
        chunks = self._source.read(at_most)
        for chunk in () if chunks is None else chunks:
            self._meter.push(chunk)
        return chunks

    def status(self) -> SourceStatus:
        """Return the state of the source; see `AudioSource`."""
        return self._source.status()

    def close(self) -> None:
        """End the stream; see `AudioSource`."""
        self._source.close()
