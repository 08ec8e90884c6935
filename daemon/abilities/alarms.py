"""Alarms: set, ask for, change and end them by voice."""

from collections.abc import Sequence
from dataclasses import replace

from ..alarms.alarm import Alarm, Now
from ..alarms.spoken_times import (
    duration,
    joined_words,
    moment,
    repeats_otherwise,
    said_duration,
    said_time,
)
from ..alarms.words import listed, said_when
from .ability import Ability, Answer, Request
from .keywords.alarms import alarm_wanted
from .keywords.clauses import on_day
from .keywords.finding import FoundMoment, has
from .timers import Alarms, all_of, bare

_SNOOZE_SECONDS = 540
_CANNOT_REPEAT = "I can repeat alarms on days of the week only, so I have set none."
_PLACES = {"next": 0, "first": 0, "earliest": 0, "second": 1, "2nd": 1, "third": 2, "3rd": 2}
ALARM_SENTENCES = {
    "set": (
        "<set> [me] [<the>|another] [new] alarm [for|at|to] {when}",
        "<set> [me] [<the>|another] {when} alarm",
        "<set> [me] [<the>|another] alarm (for|at|to) {when} (called|named|for) [the|my] {name}",
        "(wake|get|ring|call|rouse) (me|us) [up] {when}",
        "i (want|need|have|would like) to (wake|get) up {when}",
        "i (want|need|have|would like) to be (woken|woken up|awake|up) {when}",
        "[<the>] alarm [for|at] {when}",
        "{when} alarm",
        "(make sure|see to it) [that] (i am|i get|i wake) (up|awake|woken) [by|at] {when}",
    ),
    "set_without_time": ("<set> [me] [<the>|another|new] alarm", "wake me [up]"),
    "list": (
        "(what|which|how many) alarms (are|do i have|are there|have i got) [set|on|active] [for"
        " tomorrow|for today]",
        "(list|what are|<tell>) [all] [<the>] alarms",
        "(do i have|are there|is there|have i got) [a|any|an] alarm[s] [set|on|active] [for"
        " tomorrow|for today]",
        "(when|what time|for when|for what time) (is|does|will) [<the>] [next] alarm [set]"
        " [for|go off|ring]",
        "when (do i|will i|am i) [have to] (wake|get|be woken) [up]",
        "what time (do i|will i|am i|will you) [have to] (wake|get) [me] [up]",
        "is [<the>] alarm (on|set)",
        "(check|what about|<tell>) [on] [<the>] alarm",
    ),
    "cancel": (
        "<cancel> [<the>] alarm [now]",
        "no alarm [for] {which}",
        "<cancel> [<the>] {which} alarm",
        "<cancel> [<the>] alarm (for|at|called|named|of) [the] {which}",
        "turn [<the>] alarm off",
        "switch [<the>] alarm off",
        "do not wake me [up] [tomorrow]",
        "i [do not|no longer] need [<the>] alarm [any more|anymore]",
    ),
    "cancel_all": (
        "<cancel> (all|every|both|all of) [the|my|of my] alarm[s]",
        "<cancel> [all] [the|my] alarms",
        "no more alarms",
    ),
    "snooze": (
        "snooze [it] [<the>] [alarm]",
        "snooze [it] [<the>] [alarm] [for] {length}",
        "(wake me|remind me|ring) [up] again [in|after] {length}",
        "[give me] {length} more [in bed|sleep]",
        "let me sleep [for] [another] {length} [more|longer]",
    ),
    "change": (
        "(move|change|set|shift|put) [<the>] alarm to {when}",
        "(move|change|set|shift|put) [<the>] {which} alarm to {when}",
        "(move|change|shift|put) [<the>] alarm from {which} to {when}",
    ),
}


def alarm_ability(alarms: Alarms) -> Ability:
    """Alarms."""
    return Ability(
        name="alarms",
        example="wake me at seven",
        sentences=ALARM_SENTENCES,
        answer=lambda request: _answer(alarms, request),
        by_keywords=lambda request: alarm_wanted(
            request.slots["text"], request.clauses, request.now
        ),
        about=("alarm", "alarms", "wake me", "woken", "snooze"),
    )


def _answer(alarms: Alarms, request: Request) -> Answer | None:
    shelf, now = alarms.shelf, alarms.shelf.now()
    found = alarms.of("alarm")
    if request.intent == "cannot_repeat":
        return Answer(_CANNOT_REPEAT)
    match request.intent:
        case "set":
            return _set(alarms, request, now)
        case "set_without_time":
            if request.whole:
                return None
            return Answer("For when?", completes="set an alarm for")
        case "snooze":
            return _snooze(alarms, request)
        case "list":
            if not found:
                return Answer("You have no alarm.")
            told = joined_words([listed(alarm, now) for alarm in found])
            if len(found) == 1:
                return Answer(f"You have an alarm {told.removeprefix('one ')}.")
            return Answer(f"You have {len(found)} alarms: {told}.")
    if not found:
        return Answer("You have no alarm.")
    if request.intent == "cancel_all":
        return alarms.removing(found, f"{all_of('alarm', len(found))} cancelled.")
    if request.slots.get("which") in ("all", "all the", "every", "both"):
        return None
    which = _which(found, request, now)
    if which is None or isinstance(which, Answer):
        return which
    if request.intent == "cancel":
        return alarms.removing([which], f"I cancelled the alarm {said_when(which, now)}.")
    if request.intent == "shift":
        moved = alarms.shifted(which, request)
    else:
        when = moment(request.slots["when"], request.now, morning=True)
        if when is None:
            return None
        moved = (
            shelf.begun(replace(which, local_time=None, seconds=when.after_seconds, days=()))
            if when.after_seconds is not None
            else replace(which, local_time=when.at, seconds=None, days=when.days or which.days)
        )
    if not isinstance(moved, Alarm):
        return moved
    return alarms.changing(which, moved, f"The alarm is set {said_when(moved, now)} now.")


def _set(alarms: Alarms, request: Request, now: Now) -> Answer | None:
    said = request.slots["when"]
    if repeats_otherwise(f"{said} {request.whole}"):
        return Answer(_CANNOT_REPEAT)
    if request.whole:  # the day may have been said elsewhere
        said = on_day(FoundMoment(said, ()), [request.whole], request.now, morning=True).said
    when = moment(said, request.now, morning=True)
    if when is None:
        return None
    if not when.by_clock and when.after_seconds is None:
        if request.whole:
            return None  # words elsewhere may say it
        return Answer("At what time?", completes=f"set an alarm {said} at")
    alarm = Alarm(
        kind="alarm",
        name=bare(request.slots.get("name", "")),
        seconds=when.after_seconds,
        local_time=None if when.after_seconds is not None else when.at,
        days=when.days,
    )
    told = said_when(alarms.shelf.begun(alarm), now)
    if alarm.seconds is not None:
        told += f", at {said_time(when.at)}"
    return alarms.adding(f"Alarm set {told}.", alarm)


def _snooze(alarms: Alarms, request: Request) -> Answer | None:
    read = duration(request.slots["length"]) if "length" in request.slots else (_SNOOZE_SECONDS, "")
    if read is None or read[1]:
        return None
    if not alarms.keeper.ringing:
        return Answer("No alarm is ringing.")

    def act() -> None:
        for one in alarms.keeper.end_ringing():
            alarms.shelf.add(Alarm(kind=one.kind, name=one.name, seconds=read[0]))
        alarms.keeper.look()

    return Answer(f"I ring again in {said_duration(read[0])}.", act)


def _which(found: Sequence[Alarm], request: Request, now: Now) -> Alarm | Answer | None:
    words = request.slots.get("which", "").removesuffix("'s") or None
    if words is None:
        ringing = [alarm for alarm in found if alarm.ringing_since is not None]
        if len(found) == 1 or ringing:
            return (ringing or list(found))[0]
        told = joined_words([listed(alarm, now) for alarm in found])
        return Answer(f"You have {len(found)} alarms: {told}. Which one do you mean?")
    if has(words, "and|one"):
        return None
    named = [alarm for alarm in found if alarm.name and alarm.name == bare(words)]
    if named:
        return named[0]
    place = len(found) - 1 if words in ("last", "latest") else _PLACES.get(words)
    if place is not None:
        if place < len(found):
            return found[place]
        return Answer(f"You have only {len(found)} alarm{'' if len(found) == 1 else 's'}.")
    choices = [moment(words, request.now, morning=morning) for morning in (True, False)]
    for when in choices:
        for alarm in found:
            if when is not None and alarm.local_time is not None:
                same_day = not alarm.days and alarm.local_time == when.at
                if same_day or alarm.local_time.time() == when.at.time():
                    return alarm
    day = moment(words, request.now)
    if day is not None:
        on_day = [one for one in found if one.local_time and one.local_time.date() == day.at.date()]
        if on_day and not day.by_clock:
            if len(on_day) == 1:
                return on_day[0]
            told = joined_words([listed(alarm, now) for alarm in on_day])
            return Answer(f"You have {len(on_day)} alarms: {told}. Which one do you mean?")
        return Answer(f"You have no alarm {_said(words)}.")
    return Answer(f"You have no {bare(words)} alarm.")


def _said(words: str) -> str:
    return words if words.split()[0] in ("on", "at", "tomorrow", "today", "in") else f"at {words}"
