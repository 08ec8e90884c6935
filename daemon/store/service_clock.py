"""The clock by which ages are measured. It counts seconds of service, whatever happens to the wall
clock. Knows no database.

While the daemon runs, and while it is stopped but the machine stays on, it advances by a clock that
is never set. Only the wall clock knows how long a restart of the machine took, so the wall clock is
then believed within bounds.
"""

import logging
import threading
from dataclasses import dataclass
from datetime import datetime

from ..clocks import Clocks, is_set

logger = logging.getLogger(__name__)

LONGEST_STOP_SECONDS = 7 * 86_400.0
"""The most seconds that count of the time in which the machine was off."""
JUMP_SECONDS = 60.0
"""A wall clock that moves by more seconds than this against the other clocks was set. Less is
drift, or does no harm."""


@dataclass(frozen=True)
class Reading:
    """All clocks at one moment, as they are saved."""

    seconds: float
    """Time of the service clock."""
    wall: float
    """Time of the wall clock, in seconds since the epoch."""
    elapsed: float
    """Time of `Clocks.elapsed`, in seconds."""
    boot: str
    """The start of the machine that `elapsed` belongs to."""


def seconds_since(saved: Reading, wall: float, elapsed: float, boot: str) -> float:
    """Return how many seconds ago `saved` was read, to measure ages: at least 0, and at most
    LONGEST_STOP_SECONDS more than is certain."""
    if _same_start(saved, elapsed, boot):
        return elapsed - saved.elapsed
    by_wall = wall - saved.wall if is_set(saved.wall) and is_set(wall) else 0.0
    # The machine has been on for `elapsed` since then.
    return max(min(by_wall, LONGEST_STOP_SECONDS), elapsed, 0.0)


class ServiceClock:
    """The clock that counts seconds of service. Safe to use from several threads."""

    def __init__(self, clocks: Clocks, saved: Reading | None) -> None:
        """Continue from `saved`, or begin at 0. Logs if the wall clock was set meanwhile."""
        self._clocks = clocks
        self._lock = threading.Lock()
        wall, elapsed, boot = clocks.wall(), clocks.elapsed(), clocks.boot()
        self._boot = boot
        self._began_at = elapsed
        self._seconds_before = (
            saved.seconds + seconds_since(saved, wall, elapsed, boot) if saved else 0.0
        )
        self._wall_ahead = wall - elapsed
        if saved is not None:
            expected = saved.wall + (
                elapsed - saved.elapsed if _same_start(saved, elapsed, boot) else 0.0
            )
            if wall < expected - JUMP_SECONDS or (
                _same_start(saved, elapsed, boot) and wall > expected + JUMP_SECONDS
            ):
                _tell_jump(expected, wall)

    def now(self) -> float:
        """Return the seconds of service. They are never less than before, over any number of
        restarts."""
        return self.read().seconds

    def read(self) -> Reading:
        """Read all clocks now, to be saved. Logs once if the wall clock was set."""
        wall, elapsed = self._clocks.wall(), self._clocks.elapsed()
        with self._lock:
            before, self._wall_ahead = self._wall_ahead, wall - elapsed
        if abs(wall - elapsed - before) > JUMP_SECONDS:
            _tell_jump(before + elapsed, wall)
        return Reading(
            self._seconds_before + max(0.0, elapsed - self._began_at), wall, elapsed, self._boot
        )


def _same_start(saved: Reading, elapsed: float, boot: str) -> bool:
    return bool(boot) and saved.boot == boot and elapsed >= saved.elapsed


def _tell_jump(expected: float, wall: float) -> None:
    way = "forward" if wall > expected else "back"
    logger.warning(
        "the wall clock was set %s by %s, from %s to %s; ages are measured by another clock, so"
        " nothing is removed because of it",
        way,
        _duration(abs(wall - expected)),
        date_of(expected),
        date_of(wall),
    )


def date_of(wall: float) -> str:
    """Return a time of the wall clock, in seconds since the epoch, as a date and time of day."""
    try:
        return datetime.fromtimestamp(wall).isoformat(" ", "minutes")
    except (OverflowError, OSError, ValueError):  # beyond what a calendar has
        return f"{wall:.0f} s since 1970"


def _duration(seconds: float) -> str:
    for unit, length in (("days", 86_400.0), ("hours", 3600.0)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds / 60:.0f} minutes"
