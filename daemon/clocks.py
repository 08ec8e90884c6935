"""The daemon's two clocks, so that a month can pass in a minute where that is to be tried."""

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Clocks:
    """What time it is."""

    wall: Callable[[], float] = time.time
    """Seconds since the epoch."""
    monotonic: Callable[[], float] = time.monotonic
    """Seconds since some moment; never set back."""
    processor: Callable[[], float] = time.thread_time
    """Seconds of processor time that the thread which asks has used."""


REAL_TIME = Clocks()
