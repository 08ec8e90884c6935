"""Timers and alarms: set, ask for, change and end them by voice."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from ..alarms.alarm import Alarm, Kind, Now, seconds_left
from ..alarms.keeper import AlarmKeeper
from ..alarms.shelf import MOST, AlarmShelf
from ..alarms.spoken_times import (
    capitalised,
    duration,
    joined_words,
    moment,
    said_duration,
    said_time,
)
from ..alarms.words import listed, said_when, timer_name
from .ability import Ability, Answer, Intent, Request
from .keywords.finding import has, moment_in
from .keywords.timers import alarm_wanted, new_name, timer_wanted

_SNOOZE_SECONDS = 540

TIMER_SENTENCES = {
    "start": (
        "<set> [me] [<the>|another|one] [new] timer (for|of|to|at) {length}",
        "<set> [me] [<the>|another] {length} timer",
        "<set> [me] [<the>|another] {name} timer (for|of|to) {length}",
        "<set> [me] [<the>|another] timer (for|called|named) {name} (for|of|to) {length}",
        "<set> [me] [<the>|another] timer (for|of) {length} (called|named|for|to) [the] {name}",
        "<set> [me] [<the>|another] timer [for] [the] {name} (for|of) {length}",
        "(time|count down|countdown|count) [me] [for|from] {length}",
        "[<the>] timer [for|of] {length}",
        "{length} timer",
        "[<set>] [a] countdown (for|of|from) {length}",
        "(notify|alert|tell|ping|call|warn) me (in|after) {length}",
        "(let me know|give me a (shout|call|sign)) (in|after|when) {length} [is over|are over"
        "|are up|have passed|has passed|are done]",
    ),
    "start_without_length": (
        "<set> [me] [<the>|another|new] timer",
        "<set> [me] [<the>|another] {name} timer",
    ),
    "left": (
        "how (much time|long|many minutes) [is|are|do i have|have i got] [there] [left|remaining|to"
        " go] [on|of|in|for|until|till] [<the>] timer[s] [left|is over|ends|goes off|rings"
        "|is done]",
        "how (much time|long|many minutes) [is|are|do i have] [there] [left|remaining|to go]"
        " [on|of|in|for|until] [<the>] {name} timer [left|is over|ends|goes off|rings|is done]",
        "how (much time|long|many minutes) (is|are|do i have) [there] (left|remaining|to go)",
        "(what is|how is) [the] (status|state|rest) of [<the>] timer[s]",
        "(what is|how is) [<the>] timer (at|on|doing)",
        "(when|how soon) (does|will|is) [<the>] timer (end|ring|go off|over|done|be over|be done)",
        "(when|how soon) (does|will|is) [<the>] {name} timer (end|ring|go off|over|done|be over)",
        "(check|<tell>) [on] [<the>] timer[s]",
        "(check|<tell>) [on] [<the>] {name} timer",
        "(what|which|how many) timers (are|do i have|are there|have i got) [set|running|on|active]",
        "(list|what are) [all] [<the>] timers",
        "(do i have|are there|is there|have i got) [a|any] timer[s] [set|running|on|active]",
        "is [<the>] timer [still] (running|on|set|going)",
        "[is] [<the>] timer (over|done|finished) [yet]",
    ),
    "cancel": (
        "<cancel> [<the>] timer [now]",
        "<cancel> [<the>] {name} timer",
        "<cancel> [<the>] timer (for|called|named|of) [the] {name}",
        "[<the>] timer (off|stop)",
        "i [do not|no longer] need [<the>] timer [any more|anymore]",
        "forget [about] [<the>] timer",
        "forget [about] [<the>] {name} timer",
        "turn [<the>] timer off",
        "switch [<the>] timer off",
    ),
    "cancel_all": (
        "<cancel> (all|every|both|all of) [the|my|of my] timer[s]",
        "<cancel> [all] [the|my] timers",
        "no more timers",
    ),
    "pause": (
        "(pause|hold|freeze|halt) [<the>] timer",
        "(pause|hold|freeze|halt) [<the>] {name} timer",
        "put [<the>] timer on hold",
    ),
    "resume": (
        "(resume|continue|restart|unpause|go on with|carry on with) [<the>] timer",
        "(resume|continue|restart|unpause|go on with|carry on with) [<the>] {name} timer",
        "(let|start) [<the>] timer [run] (go on|continue|again|on)",
    ),
    "more": (
        "add {length} [more] to [<the>] timer",
        "add {length} [more] to [<the>] {name} timer",
        "add {length} more",
        "(extend|lengthen|increase|prolong) [<the>] timer by {length}",
        "(extend|lengthen|increase|prolong) [<the>] {name} timer by {length}",
        "(give me|i need|put on) {length} more [on [<the>] timer]",
        "(give me|i need|put on) another {length}",
        "make [<the>] timer {length} longer",
    ),
    "less": (
        "(take|remove|subtract) {length} [off|from|away from] [of] [<the>] timer",
        "(take|remove|subtract) {length} [off|from|away from] [of] [<the>] {name} timer",
        "(shorten|reduce|decrease) [<the>] timer by {length}",
        "(shorten|reduce|decrease) [<the>] {name} timer by {length}",
        "make [<the>] timer {length} shorter",
    ),
}
ALARM_SENTENCES = {
    "set": (
        "<set> [me] [<the>|another] [new] alarm [for|at|to] {when}",
        "<set> [me] [<the>|another] {when} alarm",
        "<set> [me] [<the>|another] alarm (for|at|to) {when} (called|named|for) [the|my] {name}",
        "(wake|get|ring|call|rouse) me [up] {when}",
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


@dataclass(frozen=True)
class Alarms:
    """What the abilities need to know and change alarms."""

    shelf: AlarmShelf
    keeper: AlarmKeeper

    def of(self, kind: Kind) -> list[Alarm]:
        """All of one kind, the one that is due first at the beginning."""
        now = self.shelf.now()
        found = [alarm for alarm in self.shelf.all() if alarm.kind == kind]
        return sorted(found, key=lambda alarm: seconds_left(alarm, now))

    def adding(self, alarm: Alarm, reply: str) -> Answer:
        """An answer that adds `alarm`."""
        if len(self.shelf.all()) >= MOST:
            return Answer(f"I have {MOST} timers and alarms already. Please cancel some first.")
        added: list[Alarm] = []

        def act() -> None:
            added.append(self.shelf.add(alarm))
            self.keeper.look()

        def undo() -> None:
            for one in added:
                self.shelf.remove(one.id)

        return Answer(reply, act, undo)

    def removing(self, alarms: Sequence[Alarm], reply: str) -> Answer:
        """An answer that removes `alarms`, and ends those that ring."""

        def act() -> None:
            if any(one.ringing_since is not None for one in alarms):
                self.keeper.end_ringing()
            for one in alarms:
                self.shelf.remove(one.id)
            self.keeper.look()

        def undo() -> None:
            for one in alarms:
                self.shelf.put_back(replace(one, ringing_since=None))
            self.keeper.look()

        return Answer(reply, act, undo, grave=True)

    def changing(self, before: Alarm, after: Alarm, reply: str) -> Answer:
        """An answer that puts `after` in the place of `before`."""

        def put(alarm: Alarm) -> None:
            self.shelf.change(alarm)
            self.keeper.look()

        return Answer(reply, lambda: put(after), lambda: put(before), grave=True)


def timer_ability(alarms: Alarms) -> Ability:
    """Timers."""
    return Ability(
        name="timers",
        example="set a timer for five minutes",
        sentences=TIMER_SENTENCES,
        answer=lambda request: _timer_answer(alarms, request),
        by_keywords=lambda request: timer_wanted(
            request.slots["text"], [alarm.name for alarm in alarms.of("timer") if alarm.name]
        ),
        hands_over=timer_intents,
        words=lambda: [alarm.name for alarm in alarms.of("timer") if alarm.name],
        about=("timer", "timers", "countdown"),
    )


def alarm_ability(alarms: Alarms) -> Ability:
    """Alarms."""
    return Ability(
        name="alarms",
        example="wake me at seven",
        sentences=ALARM_SENTENCES,
        answer=lambda request: _alarm_answer(alarms, request),
        by_keywords=lambda request: alarm_wanted(request.slots["text"], request.now),
        about=("alarm", "alarms", "wake me", "woken", "snooze"),
    )


# --- timers


def timer_intents(request: Request) -> Sequence[Intent]:
    """What Home Assistant can do in the place of a timer of Attune's."""
    name = _bare(request.slots.get("name", ""))
    named = _units(named_length[0], "start_") if (named_length := duration(name)) else {}
    which: dict[str, object] = {**named} if named else {"name": name} if name else {}
    read = duration(request.slots["length"]) if "length" in request.slots else None
    match request.intent:
        case "start" if read is not None:
            rest = _bare(read[1])
            called = {"name": name or rest} if name or rest else {}
            return (Intent("HassStartTimer", {**called, **_units(read[0])}),)
        case "more" | "less" if read is not None and not read[1]:
            intent = "HassIncreaseTimer" if request.intent == "more" else "HassDecreaseTimer"
            return (Intent(intent, {**which, **_units(read[0])}),)
        case "cancel_all":
            return (Intent("HassCancelAllTimers"),)
        case "cancel" | "pause" | "resume" | "left":
            intents = {
                "cancel": "HassCancelTimer",
                "pause": "HassPauseTimer",
                "resume": "HassUnpauseTimer",
                "left": "HassTimerStatus",
            }
            return (Intent(intents[request.intent], which),)
    return ()


def _units(seconds: float, prefix: str = "") -> dict[str, object]:
    """A length of time in the slots of Home Assistant's intents."""
    whole = round(seconds)
    counts = {"hours": whole // 3600, "minutes": whole // 60 % 60, "seconds": whole % 60}
    return {f"{prefix}{unit}": count for unit, count in counts.items() if count}


def _timer_answer(alarms: Alarms, request: Request) -> Answer | None:
    if request.intent == "start":
        return _start(alarms, request)
    if request.intent == "start_several":
        return _start_several(alarms, request)
    if request.intent == "start_without_length":
        name = request.slots.get("name", "")
        if request.whole or has(name, "hours?|minutes?|mins?|seconds?|secs?|half|quarter"):
            return None
        name = _bare(request.slots.get("name", ""))
        return Answer("For how long?", completes=f"set a {name} timer for".replace("  ", " "))
    timers, now = alarms.of("timer"), alarms.shelf.now()
    if request.intent == "left":
        return _left(timers, now, request.slots.get("name"))
    if not timers:
        return Answer("You have no timer.")
    if request.intent == "cancel_all":
        return alarms.removing(timers, f"{_all_of('timer', len(timers))} cancelled.")
    if request.slots.get("name") in ("all", "all the", "every", "both"):
        return None
    chosen = _chosen(timers, request.slots.get("name"))
    if isinstance(chosen, Answer):
        return chosen
    return _change_timer(alarms, request, chosen, now, len(timers))


def _start_several(alarms: Alarms, request: Request) -> Answer | None:
    read = [duration(one) for one in request.slots["lengths"].split(";")]
    seconds = [one[0] for one in read if one is not None]
    each = [alarms.adding(Alarm(kind="timer", seconds=one), "") for one in seconds]

    def act() -> None:
        for one in each:
            assert one.act is not None
            one.act()

    def undo() -> None:
        for one in each:
            if one.undo is not None:
                one.undo()

    told = joined_words([said_duration(one) for one in seconds])
    return Answer(f"{len(seconds)} timers set, for {told}.", act, undo)


def _start(alarms: Alarms, request: Request) -> Answer | None:
    read = duration(request.slots["length"])
    if read is None:
        return None
    seconds, rest = read
    name = request.slots.get("name", "")
    for word in ("for", "called", "named"):
        if rest.startswith(f"{word} "):
            rest = rest.removeprefix(f"{word} ")
    if name and rest:
        return None
    if request.whole and not (name or rest):  # "a timer of 20 minutes, for the cake"
        name = new_name(request.whole, request.slots["length"])
    name = _bare(name or rest)
    if duration(name) is not None:
        return None
    timer = Alarm(kind="timer", name=name, seconds=seconds)
    called = f"{name} timer" if name else "Timer"
    return alarms.adding(timer, f"{capitalised(called)} set for {said_duration(seconds)}.")


def _change_timer(
    alarms: Alarms, request: Request, timer: Alarm, now: Now, count: int
) -> Answer | None:
    called = f"the {timer_name(timer)}" if timer.name or count > 1 else "the timer"
    left = max(0.0, seconds_left(timer, now))
    match request.intent:
        case "cancel":
            return alarms.removing([timer], f"I cancelled {called}.")
        case "pause":
            if timer.left_seconds is not None:
                return Answer(f"{capitalised(called)} is paused already.")
            paused = replace(timer, left_seconds=left)
            return alarms.changing(timer, paused, f"I paused {called}.")
        case "resume":
            if timer.left_seconds is None:
                return Answer(f"{capitalised(called)} is running.")
            running = alarms.shelf.begun(timer, timer.left_seconds)
            told = f"{capitalised(called)} goes on, with {said_duration(left)} left."
            return alarms.changing(timer, running, told)
        case "more" | "less":
            read = duration(request.slots["length"])
            if read is None or read[1]:
                return None
            length = left + (read[0] if request.intent == "more" else -read[0])
            if length <= 0:
                return Answer(f"{capitalised(called)} has only {said_duration(left)} left.")
            if timer.left_seconds is not None:
                changed = replace(timer, left_seconds=length)
            else:
                changed = replace(alarms.shelf.begun(timer, length), ringing_since=None)
            told = f"{capitalised(called)} has {said_duration(length)} left now."
            return alarms.changing(timer, changed, told)
    return None


def _left(timers: Sequence[Alarm], now: Now, name: str | None) -> Answer | None:
    if name is not None and name.split()[-1:] in (["all"], ["every"]):
        name = None
    if not timers:
        return Answer("You have no timer.")
    chosen = [timer for timer in timers if name is None or _is_called(timer, name)]
    if not chosen:
        return Answer(f"You have no {_bare(name or '')} timer.")
    if len(chosen) == 1 and chosen[0].ringing_since is None:
        left = said_duration(max(0.0, seconds_left(chosen[0], now)))
        called = (
            f"the {timer_name(chosen[0])}" if chosen[0].name or len(timers) > 1 else "the timer"
        )
        held = ", and it is paused" if chosen[0].left_seconds is not None else ""
        return Answer(f"{capitalised(called)} has {left} left{held}.")
    told = joined_words([listed(timer, now) for timer in chosen])
    if len(chosen) == 1:
        return Answer(f"You have {told}.")
    return Answer(f"You have {len(chosen)} timers: {told}.")


def _chosen(timers: Sequence[Alarm], name: str | None) -> Alarm | Answer:
    """The timer that is meant, or an answer that tells why it is not known."""
    ringing = [timer for timer in timers if timer.ringing_since is not None]
    if name is None:
        if len(timers) == 1 or ringing:
            return (ringing or list(timers))[0]
        names = joined_words([f"the {timer_name(timer)}" for timer in timers])
        return Answer(f"You have {len(timers)} timers: {names}. Which one do you mean?")
    found = [timer for timer in timers if _is_called(timer, name)]
    if not found:
        return Answer(f"You have no {_bare(name)} timer.")
    return found[0]


def _is_called(timer: Alarm, name: str) -> bool:
    length = duration(name)
    if length is not None and not length[1]:
        return timer.seconds == length[0]
    return _bare(name) == timer.name


def _bare(name: str) -> str:
    words = name.split()
    while words and words[0] in ("the", "a", "an", "my", "our", "for", "called", "named", "new"):
        words.pop(0)
    return " ".join(words)


def _all_of(what: str, count: int) -> str:
    return {1: capitalised(what), 2: f"Both {what}s"}.get(count, f"All {count} {what}s")


# --- alarms


def _alarm_answer(alarms: Alarms, request: Request) -> Answer | None:
    shelf, now = alarms.shelf, alarms.shelf.now()
    found = alarms.of("alarm")
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
        return alarms.removing(found, f"{_all_of('alarm', len(found))} cancelled.")
    if request.slots.get("which") in ("all", "all the", "every", "both"):
        return None
    which = _which(found, request, now)
    if which is None or isinstance(which, Answer):
        return which
    if request.intent == "cancel":
        return alarms.removing([which], f"I cancelled the alarm {said_when(which, now)}.")
    if request.intent == "shift":
        return _shift(alarms, which, request, now)
    when = moment(request.slots["when"], request.now, morning=True)
    if when is None:
        return None
    moved = (
        shelf.begun(replace(which, local_time=None, seconds=when.after_seconds, days=()))
        if when.after_seconds is not None
        else replace(which, local_time=when.at, seconds=None, days=when.days or which.days)
    )
    return alarms.changing(which, moved, f"The alarm is set {said_when(moved, now)} now.")


def _shift(alarms: Alarms, alarm: Alarm, request: Request, now: Now) -> Answer | None:
    """Let an alarm ring so much earlier or later."""
    read = duration(request.slots["length"])
    if read is None or read[1]:
        return None
    seconds = read[0] if request.slots["direction"] == "later" else -read[0]
    if alarm.local_time is not None:
        moved = replace(alarm, local_time=alarm.local_time + timedelta(seconds=seconds))
    else:
        moved = alarms.shelf.begun(alarm, max(1.0, seconds_left(alarm, now) + seconds))
    if seconds_left(moved, now) <= 0:
        return Answer("That would be in the past.")
    return alarms.changing(alarm, moved, f"The alarm is set {said_when(moved, now)} now.")


def _set(alarms: Alarms, request: Request, now: Now) -> Answer | None:
    when = moment(request.slots["when"], request.now, morning=True)
    if when is None:
        return None
    if request.whole:  # the day may have been said elsewhere
        in_all = moment_in(request.whole, request.now, morning=True)
        if in_all is not None:
            when = moment(in_all.said, request.now, morning=True) or when
    alarm = Alarm(
        kind="alarm",
        name=_bare(request.slots.get("name", "")),
        seconds=when.after_seconds,
        local_time=None if when.after_seconds is not None else when.at,
        days=when.days,
    )
    told = said_when(alarms.shelf.begun(alarm), now)
    if alarm.seconds is not None:
        told += f", at {said_time(when.at)}"
    return alarms.adding(alarm, f"Alarm set {told}.")


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
    named = [alarm for alarm in found if alarm.name and alarm.name == _bare(words)]
    if named:
        return named[0]
    if words in ("next", "first"):
        return found[0]
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
        if len(on_day) == 1 and not any(letter.isdigit() for letter in words):
            return on_day[0]
        return Answer(f"You have no alarm {_said(words)}.")
    return Answer(f"You have no {_bare(words)} alarm.")


def _said(words: str) -> str:
    return words if words.split()[0] in ("on", "at", "tomorrow", "today", "in") else f"at {words}"
