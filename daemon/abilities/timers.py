"""Timers: set, ask for, change and end them by voice."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from ..alarms.alarm import Alarm, Kind, Now, seconds_left
from ..alarms.keeper import AlarmKeeper
from ..alarms.shelf import MOST, AlarmShelf
from ..alarms.spoken_times import capitalised, duration, joined_words, said_duration
from ..alarms.words import listed, timer_name
from .ability import Ability, Answer, Intent, Request
from .keywords.finding import has
from .keywords.timers import new_name, timer_wanted

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
        "<set> [me] [<the>|another] timer for [<the>] {name}",
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
    "change": (
        "(change|make|reset|correct) [<the>] timer [to|into] {length}",
        "(change|reset|correct) [<the>] {name} timer to {length}",
    ),
    "less": (
        "(take|remove|subtract) {length} [off|from|away from] [of] [<the>] timer",
        "(take|remove|subtract) {length} [off|from|away from] [of] [<the>] {name} timer",
        "(shorten|reduce|decrease) [<the>] timer by {length}",
        "(shorten|reduce|decrease) [<the>] {name} timer by {length}",
        "make [<the>] timer {length} shorter",
    ),
}

_STARTS = re.compile(
    r"(?:(?:^| )(?:from now|starting now|now|please|go|and go|love|dear|thanks))+$"
)
_NO_NAME = (
    "hours?|minutes?|mins?|seconds?|secs?|half|quarter|to|on|from|off|and|so|i|we|is|are|he|she"
    "|they"
)
"""Words that are in no name of a timer: the sentence means something else."""


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

    def adding(self, reply: str, *alarms: Alarm) -> Answer:
        """An answer that adds `alarms`."""
        if len(self.shelf.all()) + len(alarms) > MOST:
            return Answer(f"I have {MOST} timers and alarms already. Please cancel some first.")
        added: list[Alarm] = []

        def act() -> None:
            added.extend(self.shelf.add(one) for one in alarms)
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

    def shifted(self, alarm: Alarm, request: Request) -> Alarm | Answer | None:
        """Return `alarm` as one that rings so much earlier or later as `request` says, or the reply
        if that is in the past; None if it says no length."""
        read = duration(request.slots["length"])
        if read is None or read[1]:
            return None
        seconds = read[0] if request.slots["direction"] == "later" else -read[0]
        now = self.shelf.now()
        if alarm.local_time is None:
            return self.shelf.begun(alarm, max(1.0, seconds_left(alarm, now) + seconds))
        moved = replace(alarm, local_time=alarm.local_time + timedelta(seconds=seconds))
        if seconds_left(moved, now) <= 0:
            return Answer("That would be in the past.")
        return moved


def timer_ability(alarms: Alarms) -> Ability:
    """Timers."""
    return Ability(
        name="timers",
        example="set a timer for five minutes",
        sentences=TIMER_SENTENCES,
        answer=lambda request: _timer_answer(alarms, request),
        by_keywords=lambda request: timer_wanted(
            request.slots["text"],
            request.clauses,
            [alarm.name for alarm in alarms.of("timer") if alarm.name],
            request.last.heard.lower() if request.last else "",
        ),
        hands_over=timer_intents,
        words=lambda: [alarm.name for alarm in alarms.of("timer") if alarm.name],
        about=("timer", "timers", "countdown"),
    )


def timer_intents(request: Request) -> Sequence[Intent]:
    """What Home Assistant can do in the place of a timer of Attune's."""
    name = bare(request.slots.get("name", ""))
    named = _units(named_length[0], "start_") if (named_length := duration(name)) else {}
    which: dict[str, object] = {**named} if named else {"name": name} if name else {}
    read = duration(request.slots["length"]) if "length" in request.slots else None
    match request.intent:
        case "start" if read is not None:
            rest = bare(read[1])
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
        if request.whole or has(name, _NO_NAME):
            return None
        name = "" if name in ("that", "this", "it", "them", "me", "us") else bare(name)
        return Answer("For how long?", completes=f"set a {name} timer for".replace("  ", " "))
    timers, now = alarms.of("timer"), alarms.shelf.now()
    if request.intent == "left":
        return _left(timers, now, request.slots.get("name"))
    if not timers and request.intent == "change":
        return _start(alarms, request)
    if not timers:
        return Answer("You have no timer.")
    if has(request.slots.get("name", ""), "and|one|that|it"):
        return None
    if request.intent == "cancel_all":
        return alarms.removing(timers, f"{all_of('timer', len(timers))} cancelled.")
    if request.slots.get("name") in ("all", "all the", "every", "both"):
        return None
    chosen = _chosen(timers, request.slots.get("name"))
    if isinstance(chosen, Answer):
        return chosen
    return _change_timer(alarms, request, chosen, now, len(timers))


def _start_several(alarms: Alarms, request: Request) -> Answer | None:
    read = [duration(one) for one in request.slots["lengths"].split(";")]
    seconds = [one[0] for one in read if one is not None]
    told = joined_words([said_duration(one) for one in seconds])
    each = [Alarm(kind="timer", seconds=one) for one in seconds]
    return alarms.adding(f"{len(seconds)} timers set, for {told}.", *each)


def _start(alarms: Alarms, request: Request) -> Answer | None:
    length = request.slots["length"]
    read = duration(f"{length} minutes" if length.isdigit() else length)
    if read is None:
        return None
    seconds, rest = read
    name = request.slots.get("name", "")
    for word in ("for", "called", "named"):
        if rest.startswith(f"{word} "):
            rest = rest.removeprefix(f"{word} ")
    rest = _STARTS.sub("", rest)
    if (name and rest) or has(name or rest, _NO_NAME):
        return None
    if request.whole and not (name or rest):  # "a timer of 20 minutes, for the cake"
        name = new_name(request.whole, request.slots["length"])
    name = bare(name or rest)
    if duration(name) is not None:
        return None
    timer = Alarm(kind="timer", name=name, seconds=seconds)
    called = f"{name} timer" if name else "Timer"
    return alarms.adding(f"{capitalised(called)} set for {said_duration(seconds)}.", timer)


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
        case "more" | "less" | "change":
            read = duration(request.slots["length"])
            if read is None or read[1]:
                return None
            more = {"more": left + read[0], "less": left - read[0]}
            length = more.get(request.intent, read[0])
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
        return Answer(f"You have no {bare(name or '')} timer.")
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
        return Answer(f"You have no {bare(name)} timer.")
    return found[0]


def _is_called(timer: Alarm, name: str) -> bool:
    length = duration(name)
    if length is not None and not length[1]:
        return timer.seconds == length[0]
    return bare(name) == timer.name


def bare(name: str) -> str:
    """Return a name without the words that stand before one."""
    words = name.split()
    while words and words[0] in ("the", "a", "an", "my", "our", "for", "called", "named", "new"):
        words.pop(0)
    return " ".join(words)


def all_of(what: str, count: int) -> str:
    """Say how many were there: "Both alarms"."""
    return {1: capitalised(what), 2: f"Both {what}s"}.get(count, f"All {count} {what}s")
