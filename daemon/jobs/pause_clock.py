"""Measures how long a process has run without its pauses, and how long each pause took to begin.
Knows no process."""

import time
from collections.abc import Callable


class PauseClock:
    """The clock of one process. Its owner holds a lock around every call."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Start the clock; the process starts now, by `clock`."""
        self._clock = clock
        self._began_at = clock()
        self._paused_at: float | None = None
        self._paused_seconds = 0.0
        self._asked_at: float | None = None
        """When the pause that has not begun yet was asked for."""
        self.pauses = 0
        self.latencies: list[float] = []
        """Seconds from each time that a pause was asked for until the process stood still."""

    @property
    def paused(self) -> bool:
        """Whether a pause was asked for and is not over."""
        return self._paused_at is not None

    @property
    def running_seconds(self) -> float:
        """Seconds since the start, without pauses."""
        now = self._clock() if self._paused_at is None else self._paused_at
        return now - self._began_at - self._paused_seconds

    def pause(self, asked_at: float) -> None:
        """Note that a pause was asked for at `asked_at`, a time of the same clock as that of
        `stands_still`."""
        self._asked_at = asked_at
        self._paused_at = self._clock()
        self.pauses += 1

    def stands_still(self, at: float) -> bool:
        """Note that the process stands still since `at`. Returns False if that was known, or if no
        pause was asked for."""
        if self._asked_at is None:
            return False
        self.latencies.append(at - self._asked_at)
        self._asked_at = None
        return True

    def resume(self) -> None:
        """Note that the pause is over."""
        if self._paused_at is not None:
            self._paused_seconds += self._clock() - self._paused_at
            self._paused_at = None
