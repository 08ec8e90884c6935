"""Clocks of a machine that a test moves: time that passes, a wall clock that is set, restarts of
the machine."""

from dataclasses import dataclass

from daemon.clocks import Clocks


@dataclass
class Time:
    """What the clocks of a machine say."""

    wall: float = 1_790_000_000.0
    """Seconds since the epoch; a test may set it to anything."""
    up: float = 1000.0
    """Seconds since the machine started in which it was awake."""
    suspended: float = 0.0
    """And those in which it was suspended."""
    starts: int = 1
    true: float = 0.0
    """Seconds that have really passed."""

    @property
    def clocks(self) -> Clocks:
        return Clocks(
            wall=lambda: self.wall,
            monotonic=lambda: self.up,
            suspended=lambda: self.suspended,
            boot=lambda: f"start {self.starts}",
        )

    def passes(self, seconds: float) -> None:
        self.wall += seconds
        self.up += seconds
        self.true += seconds

    def sleeps(self, seconds: float) -> None:
        """The machine is suspended for so long."""
        self.wall += seconds
        self.suspended += seconds
        self.true += seconds

    def reboots(self, seconds_off: float, wall: float | None = None) -> None:
        """The machine is off for so long; then its wall clock says `wall`, or the right time."""
        self.wall = self.wall + seconds_off if wall is None else wall
        self.true += seconds_off
        self.up, self.suspended = 10.0, 0.0
        self.starts += 1
