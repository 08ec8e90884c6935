"""A timer, an alarm or a reminder, and when it is due. Pure."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Literal

Kind = Literal["timer", "alarm", "reminder"]


@dataclass(frozen=True)
class Alarm:
    """One that waits or rings. It has either a length of time or a time of day."""

    kind: Kind
    name: str = ""
    """What it is called, or what the user is reminded of; empty if it has no name."""
    seconds: float | None = None
    """The length of time after which it rings."""
    local_time: datetime | None = None
    """The time on the clock at the wall at which it rings, without a zone."""
    days: tuple[int, ...] = ()
    """The days of the week on which it rings again, from 0 for Monday."""
    due_wall: float | None = None
    """When the length of time is over, in seconds since the epoch."""
    due_elapsed: float | None = None
    """The same by `Clocks.elapsed`, in the start of the machine with the id `boot`."""
    boot: str = ""
    left_seconds: float | None = None
    """What is left of a timer that is paused; None if it runs."""
    ringing_since: float | None = None
    """Since when it rings, in seconds since the epoch; None if it waits."""
    id: int = 0
    """Number given by the store."""


@dataclass(frozen=True)
class Now:
    """The present, by every clock that alarms need."""

    wall: float
    """Seconds since the epoch."""
    elapsed: float
    boot: str
    zone: tzinfo
    """The zone where the user is."""

    @property
    def local(self) -> datetime:
        """The time where the user is."""
        return datetime.fromtimestamp(self.wall, self.zone)


def seconds_left(alarm: Alarm, now: Now) -> float:
    """Return the seconds until `alarm` is due, negative if it should have rung already.

    A length of time is measured by a clock that nobody can set, as long as the machine runs; after
    a new start only the wall clock is left. A time of day is always that of the wall clock, in the
    zone where the user is now.
    """
    if alarm.left_seconds is not None:
        return alarm.left_seconds
    if alarm.local_time is not None:
        return instant_of(alarm.local_time, now.zone) - now.wall
    assert alarm.due_elapsed is not None
    assert alarm.due_wall is not None
    if alarm.boot and alarm.boot == now.boot:
        return alarm.due_elapsed - now.elapsed
    return alarm.due_wall - now.wall


def instant_of(local: datetime, zone: tzinfo) -> float:
    """Return the moment, in seconds since the epoch, at which the wall clock in `zone` first shows
    `local` or later: a time that summer time skips comes when the clock has jumped over it, and one
    that comes twice comes the first time."""
    there = local.replace(tzinfo=zone, fold=0)
    instant = there.timestamp()
    shown = datetime.fromtimestamp(instant, zone).replace(tzinfo=None)
    if shown == local:
        return instant
    # The time does not exist: by the offset before the gap, `instant` lies behind the gap, by as
    # much as `local` lies behind its beginning.
    after = datetime.fromtimestamp(instant, zone)
    offset_after = after.utcoffset() or timedelta()
    offset_before = there.utcoffset() or timedelta()
    gap = abs(offset_after - offset_before)
    low, high = instant - gap.total_seconds() - 1, instant
    while high - low > 0.5:  # the moment of the jump
        middle = (low + high) / 2
        at = datetime.fromtimestamp(middle, UTC).astimezone(zone)
        low, high = (middle, high) if at.utcoffset() == offset_before else (low, middle)
    return float(round(high))


def next_time(alarm: Alarm, now: datetime) -> datetime | None:
    """Return when a repeated alarm rings again after it has rung, on the clock at the wall; None if
    it does not. It is always later than its last time, also if the clock was set back since, and
    than `now`."""
    if alarm.local_time is None or not alarm.days:
        return None
    wall = now.replace(tzinfo=None)
    found = alarm.local_time + timedelta(days=1)
    if found < wall:
        found = datetime.combine(wall.date(), found.time())
    while found <= wall or found.weekday() not in alarm.days:
        found += timedelta(days=1)
    return found
