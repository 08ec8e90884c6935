"""How loud the microphone is, for those who watch it: it costs nothing while nobody does."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np

from engines.types import Float32

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
