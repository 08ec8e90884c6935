"""What a sentence wants of timers and alarms, by single words. Pure."""

import re
from collections.abc import Sequence

from ...alarms.spoken_times import duration
from .clauses import told
from .finding import ALL, ASK, CANCEL, NOT, Wanted, has, length_in, lengths_in, without

_TIMER = "timers?|countdowns?|count down|counting down"
_TIMING = (
    r"keep (?:the )?time|watch the clock|start (?:counting|timing)"
    r"|time (?:it|that|this|me|them|us|him|her)|on the clock|start the clock|tell me when"
    r"|let me know"
    r"|shout|ping me|buzz me|beep|warn me|alert me|notify me"
    r"|give me a (?:shout|nudge|buzz|ring|ping"
    r"|call)|count (?:it|that|this|me|them|for me|with me)|(?:set|get) (?:it|that) (?:going|off)"
    r"|count to"
)
_TIME_A_THING = re.compile(r"^(?:and |then |just )*time (?P<name>(?:my|the|our|his|her|these) .+)$")
_GOES = re.compile(
    r"(?:so |and |just |that is |it is |for )*(?P<length>.+?)(?: from now| now| go)*$"
)
_AGAIN = re.compile(r"^(?:no |actually |sorry )*make (?:it|that) (?:for )?(?P<length>.+)$")
_PAUSE = "pause|hold|freeze|halt|on hold|suspend"
_RESUME = (
    "resume|continue|carry on|go on|going again|unpause|restart|start again|set off again|back on"
    "|run on|keep going"
)
_MORE = "more|another|longer|add|extra|extend|lengthen|later|bump|on top"
_LESS = "less|shorter|shorten|reduce|take off|off|knock|subtract|fewer|sooner"
_NEW = re.compile(
    r"\b(?:(?:set|start|run|begin|give|make|put|need|want)\b.*? (?:an?|another|new|second|third)"
    r"(?: \w+){0,3} (?:timer|countdown)|(?:second|new) timer)\b"
)
_NEW_LENGTH = re.compile(
    r"\b(?:make|change|set|put|turn|switch) (?:it|(?:the|that|this|my)(?: [a-z]+){0,2} timer) "
    r"(?:to |into |for )?(?P<length>.+)$"
)
_NO_NAME = frozenset(
    "a an the my our your another new one this that other second first next set start make create"
    " run timer timers for me please quick little short long kitchen any all both every each is are"
    " which what how give still right now some put on have got going running count down and of i"
    " need want like would could can you to it got doing cancel stop pause hold resume with"
    " another stupid silly bloody damn blasted old last whole single same third minute minutes hour"
    " hours half quarter seconds second last current running main go from be".split()
)
_MOST_WORDS_OF_NAME = 3


def timer_wanted(
    text: str, clauses: Sequence[str], names: Sequence[str], before_that: str = ""
) -> Wanted | None:
    """What `text` with these clauses wants of timers, of which some are called `names`, where
    `before_that` was said before; None if nothing."""
    anchor = "|".join([_TIMER, *(rf"{re.escape(name.rstrip('s'))}s?" for name in names)])
    several = lengths_in(text)
    if len(several) > 1 and has(text, "timers") and not has(text, CANCEL):
        return "start_several", {"lengths": ";".join(several)}
    taken = told(clauses, text, anchor)
    if taken is None and has(text, "(?:stop|pause|hold) the clock"):
        return "pause", {}
    if taken is None and has(before_that, _TIMER):
        again = next(filter(None, map(_AGAIN.search, clauses or (text,))), None)
        if again is not None and (read := duration(again["length"])) and not read[1]:
            return "change", {"length": again["length"]}
    if taken is None:
        return _timing_wanted(text, clauses)
    order = taken.order
    known = "name" in _named(order, names)
    slots = _named(order, names) or _called(order)
    length = length_in(order) or _minutes_in(order)
    new = _NEW.search(order) is not None
    changed = _NEW_LENGTH.search(order)
    if changed is not None and length is not None and not has(order, _MORE + "|" + _LESS):
        return "change", {**slots, "length": length}
    if length is not None and not new and has(order, _MORE):
        return "more", {**slots, "length": length}
    if has(order, _PAUSE):
        return "pause", slots
    if has(order, _RESUME):
        return "resume", slots
    if length is not None and not new and has(order, _LESS) and not has(order, "set|start"):
        return "less", {**slots, "length": length}
    if has(order, CANCEL) and not has(order, "go off|goes off|going off|going to go off"):
        every = has(without(order, "any more|anymore"), ALL) and not known
        return ("cancel_all", {}) if every else ("cancel", slots)
    wants_one = (
        length is None
        and not known
        and has(order, "set|start|run|begin|need|want|put|give|with|on|count")
    )
    if wants_one and not has(order, ASK.split("|left")[0]):
        length = next(filter(None, map(length_in, taken.story)), None)
        length = length or next(filter(None, map(_minutes_in, taken.story)), None)
    if length is not None and not has(order, NOT):
        name = new_name(order, length)
        return "start", {"length": length, **({"name": name} if name else {})}
    if has(order, ASK) or has(
        text, "done|finished|over|left|go off|still|running|going|doing|counting"
    ):
        return "left", slots
    return None


def _timing_wanted(text: str, clauses: Sequence[str]) -> Wanted | None:
    """What is to be timed, in a sentence without a timer; None if nothing."""
    length = length_in(text)
    thing = next(filter(None, map(_TIME_A_THING.match, clauses)), None)
    timing = told(clauses, text, _TIMING) if not has(text, "to remind|remind me|list") else None
    if length is None and (timing is not None or thing is not None):
        length = next(filter(None, map(_minutes_in, clauses)), None)
    if length is None or has(
        text, f"{length} (?:before|beforehand|earlier|early|ahead|after|later)"
    ):
        return None
    if thing is not None:
        name = _bare_name(thing["name"].replace(length, " "))
        return "start", {"length": length, **({"name": name} if name else {})}
    if timing is not None and not has(timing.order, NOT + "|about"):
        return "start", {"length": length}
    sets = re.compile(rf"\b(?:give|set|put) (?:me|us|it|them) (?:a |for )?{length}(?: for .+)?$")
    if (order := next(filter(sets.search, clauses or (text,)), None)) is not None:
        name = new_name(order, length)
        return "start", {"length": length, **({"name": name} if name else {})}
    if has(text, "brewing|boiling|baking|cooking|simmer|oven|steep"):
        return ("start", {"length": length}) if not has(text, ASK.split("|left")[0]) else None
    # "The cake goes in now, so thirty minutes, please"
    bare = [found["length"] for found in map(_GOES.fullmatch, clauses) if found is not None]
    said = next((one for one in bare if (read := duration(one)) and not read[1]), None)
    if said is not None and len(clauses) > 1:
        return "start", {"length": said}
    return None


def _minutes_in(clause: str) -> str | None:
    """A number at the end of `clause`, as minutes: "make that timer 20"."""
    found = re.search(
        r"(?<!at )(?<!by )(?<!past )(?<!till )(?<!until )(?<!from )(?<!before )(?<!after )"
        r"\b(\d{1,3}|one|two|three)(?: to (?:the|that|my) (?:\w+ )?timer)?$",
        clause,
    )
    return None if found is None else f"{found[1]} minutes"


def _called(order: str) -> dict[str, str]:
    """The name of the timer that is meant, though there is none of that name."""
    length = re.search(r"\b(\d+ (?:second|minute|hour)) timer\b", order)
    if length is not None:
        return {"name": length[1]}
    found = re.search(r"\b(?:the|my|that|our) ([a-z]+(?: [a-z]+)?) timer\b", order)
    name = "" if found is None else _bare_name(found[1])
    return {"name": name} if name else {}


def _bare_name(words: str) -> str:
    kept = [word for word in words.split() if word not in _NO_NAME and word.isalpha()]
    return " ".join(kept) if len(kept) <= _MOST_WORDS_OF_NAME else ""


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
