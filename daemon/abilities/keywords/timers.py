"""What a sentence wants of timers and alarms, by single words. Pure."""

import re
from collections.abc import Sequence
from datetime import datetime

from .finding import ALL, ASK, CANCEL, NOT, Wanted, has, length_in, lengths_in, moment_in, without

_TIMER = "timers?|countdowns?|count down|counting down"
_TIMING = (
    "time (?:it|that|this|me|them)|on the clock|tell me when|let me know|shout|ping me|buzz me|beep"
    "|warn me|alert me|notify me|go|give me a (?:shout|nudge|buzz|ring|ping|call)"
)
_PAUSE = "pause|hold|freeze|halt|on hold|suspend|wait"
_RESUME = (
    "resume|continue|carry on|go on|going again|unpause|restart|start again|set off again|back on"
    "|run on|keep going"
)
_MORE = "more|another|longer|add|extra|extend|lengthen|later|bump|on top"
_LESS = "less|shorter|shorten|reduce|take off|off|knock|subtract|fewer|sooner"
_ALARM = (
    "alarms?|wake|woken|waking|wakes|get me up|be up|get up|getting up|out of bed|sleep past"
    "|sleep in|awake|snooze|lie in|oversleep|alarm clock|rouse"
)
_LIE_IN = "lie in|sleep in|do not wake|not to wake|no need to wake|not wake"
_CHANGE = "change|move|instead|push|bring|shift|later|earlier|forward|back|make|put"
_NO_NAME = frozenset(
    "a an the my our your another new one this that other second first next set start make create"
    " run timer timers for me please quick little short long kitchen any all both every each is are"
    " which what how give still right now some put on have got going running count down and of i"
    " need want like would could can you to it got doing cancel stop pause hold resume with"
    " another".split()
)


def timer_wanted(text: str, names: Sequence[str]) -> Wanted | None:
    """What `text` wants of timers, of which some are called `names`; None if nothing."""
    length = length_in(text)
    slots = _named(text, names)
    anchored = has(text, _TIMER)
    known = "name" in slots
    several = lengths_in(text)
    if len(several) > 1 and has(text, "timers") and not has(text, CANCEL):
        return "start_several", {"lengths": ";".join(several)}
    if not anchored and not known:
        if length is not None and has(text, _TIMING) and not has(text, NOT + "|about|to remind"):
            return "start", {"length": length}
        if length is not None and re.search(rf"\bgive (?:me|it|them) (?:a )?{length}$", text):
            return "start", {"length": length}
        if length is not None and has(text, "brewing|boiling|baking|cooking|simmer|oven|steep"):
            return ("start", {"length": length}) if not has(text, ASK.split("|left")[0]) else None
        return None
    if length is not None and (has(text, _MORE) or has(text, "give .* another")):
        return "more", {**slots, "length": length}
    if has(text, _PAUSE):
        return "pause", slots
    if has(text, _RESUME):
        return "resume", slots
    if length is not None and has(text, _LESS) and not has(text, "set|start"):
        return "less", {**slots, "length": length}
    if has(text, CANCEL) and not has(text, "go off|goes off|going off|going to go off"):
        return ("cancel_all", {}) if has(text, ALL) and not known else ("cancel", slots)
    if length is not None and not has(text, NOT):
        name = new_name(text, length)
        return "start", {"length": length, **({"name": name} if name else {})}
    if has(text, ASK) or has(text, "left|go off|still|running|going|doing|counting"):
        return "left", slots
    return None


def _named(text: str, names: Sequence[str]) -> dict[str, str]:
    for name in sorted(names, key=len, reverse=True):
        if name and has(text, re.escape(name) + "s?"):
            return {"name": name}
        if name.endswith("s") and has(text, re.escape(name[:-1])):
            return {"name": name}
    return {}


def new_name(text: str, length: str) -> str:
    """The name of a timer that is set: what stands before "timer", or after "called"."""
    rest = text.replace(length, " , ")
    called = re.search(r"\b(?:called|named|labelled|for the|for my) ([a-z]+(?: [a-z]+)?)", rest)
    if called is not None:
        words = [word for word in called[1].split() if word not in _NO_NAME]
        return " ".join(words)
    name = re.search(r"([a-z]+) timer\b", rest)
    return name[1] if name is not None and name[1] not in _NO_NAME else ""


def alarm_wanted(text: str, now: datetime) -> Wanted | None:
    """What `text` wants of alarms; None if nothing."""
    if not has(text, _ALARM):
        return None
    if has(text, "snooze"):
        length = length_in(text)
        return "snooze", {} if length is None else {"length": length}
    when = moment_in(text, now, morning=True)
    lies_in = has(text, _LIE_IN) and not has(text, "do not let me|so i do not")
    if lies_in and not (when is not None and has(text, "till|until|before")):
        return "cancel", {}
    length = length_in(text)
    if (
        has(text, "alarms?")
        and length is not None
        and has(text, "later|earlier|forward|back|sooner")
    ):
        earlier = has(text, "earlier|forward|sooner")
        return "shift", {"length": length, "direction": "earlier" if earlier else "later"}
    if (
        has(text, "alarms?")
        and when is not None
        and has(text, "change|move|instead|shift|push|bring")
    ):
        return "change", {"when": when.said}
    if has(text, CANCEL) and not has(text, "go off|goes off|going off|set off|get rid of sleep"):
        if has(text, ALL) and has(text, "alarms?"):
            return "cancel_all", {}
        return "cancel", {} if when is None else {"which": when.said}
    asks = re.match(
        r"^(?:and |so |sorry |well )*(?:what|which|when|how|is|are|do|does|did|have|has|am|will"
        r"|show|list|tell|check|any|for when|at what)\b",
        without(text, "can you|could you|please"),
    )
    if asks is not None:
        return "list", {}
    if when is not None and not has(text, "never"):
        return "set", {"when": when.said}
    if has(text, "what time|which alarms?|when|any alarms?|is there|left|list"):
        return "list", {}
    return None
