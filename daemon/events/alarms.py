"""The events of timers, alarms and reminders."""

from typing import Literal

from .event import Event


class AlarmRings(Event):
    """One begins to ring. It rings until somebody says stop, or for some minutes."""

    event: Literal["alarm_rings"] = "alarm_rings"
    id: int
    kind: str
    """`timer`, `alarm`, or `reminder`."""
    text: str
    """What is said."""
    late_seconds: float
    """How long ago it should have begun: the device was off, or its clock was wrong."""
    resumed: bool
    """Whether it rang before the daemon was started again."""


class AlarmEnded(Event):
    """One has ended."""

    event: Literal["alarm_ended"] = "alarm_ended"
    id: int
    how: str
    """`stopped` by the user; `unanswered`, when it had rung for some minutes; or `missed`, since
    the device was off when it should have rung."""
