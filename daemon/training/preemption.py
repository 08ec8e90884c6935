"""Lets speech preempt training: stops the running child as soon as a user speaks, and lets it go on
after a while of quiet.

Knows no round and no memory.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from ..jobs.child import Child

_KEPT_LATENCIES = 1000


@dataclass(frozen=True)
class PauseStatus:
    """How speech has stopped training so far."""

    paused: bool
    """Whether a child stands still now."""
    pauses: int
    latency_ms: float | None
    """99th percentile of the milliseconds from the onset of speech until the child stood still;
    None before the first pause."""


class Preemption:
    """Knows whether a user speaks, and the child that must stand still meanwhile."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        """Held while pausing and resuming, so that a resume that was decided on before new speech
        cannot follow the pause for that speech."""
        self._speaking = False
        self._ended_at = float("-inf")
        self._child: Child | None = None
        self._pauses = 0
        self._latencies: deque[float] = deque(maxlen=_KEPT_LATENCIES)
        """Seconds from each onset of speech until the child stood still."""

    @property
    def speaking(self) -> bool:
        return self._speaking

    def speech_started(self) -> None:
        """Stop the running child at once. This takes a millisecond, at most ten."""
        with self._lock:
            self._speaking = True
            if self._child is not None:
                self._child.pause()

    def speech_ended(self) -> None:
        with self._lock:
            self._speaking = False
            self._ended_at = self._clock()

    def quiet_seconds(self) -> float:
        """Return the seconds since the end of speech; 0 during speech."""
        with self._lock:
            return 0.0 if self._speaking else self._clock() - self._ended_at

    @contextmanager
    def holding(self, child: Child) -> Iterator[None]:
        """Stop `child` for speech until the block ends."""
        with self._lock:
            self._child = child
            if self._speaking:
                child.pause()
        try:
            yield
        finally:
            self._child = None
            self._pauses += child.pauses
            self._latencies.extend(child.pause_latencies)

    def go_on_after(self, quiet_seconds: float) -> None:
        """Let the child go on if nobody has spoken for `quiet_seconds`."""
        with self._lock:
            child, quiet = self._child, self._clock() - self._ended_at
            if child is not None and child.paused and not self._speaking and quiet >= quiet_seconds:
                child.resume()

    def status(self) -> PauseStatus:
        """Return how often a child was stopped, and how long that took."""
        child = self._child
        latencies = sorted(
            [*self._latencies, *(child.pause_latencies if child is not None else ())]
        )
        return PauseStatus(
            paused=child is not None and child.paused,
            pauses=self._pauses + (child.pauses if child is not None else 0),
            latency_ms=1000 * latencies[int(0.99 * len(latencies))] if latencies else None,
        )
