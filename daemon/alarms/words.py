"""What is said of alarms. Pure."""

from datetime import datetime

from .alarm import Alarm, Now, seconds_left
from .spoken_times import said_duration, said_moment, said_time

_LATE_SECONDS = 60.0


def ringing_words(alarm: Alarm, now: Now, late: float = 0.0) -> str:
    """Return what is said when `alarm` rings, `late` seconds after it should have."""
    if alarm.kind == "reminder":
        told = f"I was to remind you {alarm.name}."
    elif alarm.kind == "alarm":
        told = f"It is {said_time(now.local)}."
        told = f"{told} {_sentence(alarm.name)}" if alarm.name else f"{told} This is your alarm."
    else:
        told = f"Your {timer_name(alarm)} is over."
    if late > _LATE_SECONDS:
        told += f" It was due {said_duration(round(late / 60) * 60)} ago."
    return told


def missed_words(alarm: Alarm, now: Now) -> str:
    """Return what is said of one that nobody heard."""
    if alarm.kind == "reminder":
        told = f"I was to remind you {alarm.name}"
    elif alarm.kind == "alarm":
        told = f"You had an alarm{_called(alarm)}"
    else:
        told = f"Your {timer_name(alarm)} was over"
    return f"{told} {_when(alarm, now)}, and nobody heard it."


def listed(alarm: Alarm, now: Now) -> str:
    """Return `alarm` as one of a list: "the pasta timer with 5 minutes left"."""
    left = max(0.0, seconds_left(alarm, now))
    if alarm.kind == "timer":
        if alarm.ringing_since is not None:
            return f"the {timer_name(alarm)}, which is over"
        held = ", paused" if alarm.left_seconds is not None else ""
        return f"the {timer_name(alarm)} with {said_duration(left)} left{held}"
    when = said_when(alarm, now)
    if alarm.kind == "alarm":
        return f"one {when}{_called(alarm)}"
    return f"{alarm.name} {when}"


def said_when(alarm: Alarm, now: Now) -> str:
    """Return when `alarm` is due: "tomorrow at 7 am", "in 20 minutes"."""
    if alarm.local_time is None:
        return f"in {said_duration(max(0.0, seconds_left(alarm, now)))}"
    return said_moment(alarm.local_time, alarm.days, now.local.replace(tzinfo=None))


def timer_name(alarm: Alarm) -> str:
    """Return what a timer is called: "pasta timer", "5 minute timer"."""
    if alarm.name:
        return f"{alarm.name} timer"
    return f"{said_length(alarm.seconds or 0)} timer"


def said_length(seconds: float) -> str:
    """Return a length of time as it stands before a noun: "5 minute", "1 hour 30 minute"."""
    words = said_duration(seconds).replace(" and ", " ").replace(",", "").split()
    return " ".join(word.removesuffix("s") if word.isalpha() else word for word in words)


def _when(alarm: Alarm, now: Now) -> str:
    at = alarm.local_time
    if at is None:
        assert alarm.due_wall is not None
        at = datetime.fromtimestamp(alarm.due_wall, now.zone).replace(tzinfo=None)
    return said_moment(at, (), now.local.replace(tzinfo=None))


def _called(alarm: Alarm) -> str:
    return f" called {alarm.name}" if alarm.name else ""


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + "."
