"""The clocks of the machine. Each is a function, so that a test can let a year pass in a second."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from engines.device.crash_marker import boot_id

SET_AFTER = 1_735_689_600.0
"""2025-01-01 in seconds since the epoch. A wall clock before it was never set: this program did not
exist then."""

SECONDS_A_DAY = 86_400


def is_set(wall_seconds: float) -> bool:
    """Return whether `wall_seconds`, since the epoch, comes from a clock that was ever set."""
    return wall_seconds >= SET_AFTER


class _Suspended:
    """Measures the seconds in which the machine was suspended, as the difference of two clocks that
    cannot be read at one moment."""

    def __init__(self) -> None:
        self._most = 0.0

    def __call__(self) -> float:
        """Return the seconds in suspension since the machine started. They are never more than the
        truth, because the clock that counts less is read last, and never less than before."""
        since_boot = time.clock_gettime(time.CLOCK_BOOTTIME)
        self._most = max(self._most, since_boot - time.clock_gettime(time.CLOCK_MONOTONIC))
        return self._most


_suspended_seconds = _Suspended()


def _boot() -> str:
    try:
        return boot_id()
    except OSError:  # a sandbox without it
        return ""


@dataclass(frozen=True)
class Clocks:
    """The clocks that the daemon reads."""

    wall: Callable[[], float] = time.time
    """Seconds since the epoch. It may be wrong, and may be set forward or back at any time: for
    people, never for ages."""
    monotonic: Callable[[], float] = time.monotonic
    """Seconds since some moment in which the machine was awake; never set back."""
    processor: Callable[[], float] = time.thread_time
    """Seconds of processor time that the calling thread has used."""
    suspended: Callable[[], float] = _suspended_seconds
    """Seconds in which the machine was suspended since it started."""
    boot: Callable[[], str] = _boot
    """Id of this start of the machine; empty if it is unknown. `elapsed` counts from another moment
    after each start."""

    def elapsed(self) -> float:
        """Return the seconds since some moment, time in suspension included; never set back."""
        return self.monotonic() + self.suspended()


REAL_TIME = Clocks()
"""The clocks of this machine."""
