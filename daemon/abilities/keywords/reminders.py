"""What a sentence wants of reminders, by single words. Pure."""

import re
from collections.abc import Sequence
from datetime import datetime

from ...alarms.spoken_times import repeats_otherwise
from ..sentences.plain_request import is_statement
from .clauses import Told, moment_told, told
from .finding import ALL, CANCEL, NOT, FoundMoment, Wanted, has, length_in, moment_in, without

_REMIND = re.compile(
    r"\b(?:remind us|remind to (?:me|us)|(?:nudge|prod|poke|prompt|remember) (?:me|us)"
    r"|jog my memory"
    r"|give (?:me|us) a (?:nudge|shout|poke|prod|prompt)"
    r"|(?:do not|never) let (?:me|us) forget"
    r"|make sure (?:that )?(?:i|we) (?:do not forget|remember)"
    r"|i (?:should|must|need to|want to|would like to|have to) be reminded"
    r"|i (?:must|should|may|can) (?:not|never) forget"
    r"|(?:tell|ask) me(?= to\b| about\b)"
    r"|(?:tell|warn|ring|alert|buzz|call) (?:me|us)(?= .+ (?:before|beforehand|earlier)\b)"
    r"|want reminding|need reminding"
    r"|(?:put|set|make|create|add|give me|i need|i want|leave) (?:me |in )?(?:a|another|the|one) "
    r"(?:new )?reminder(?: in| on)?"
    r"|^(?:a |new )?reminder(?= (?:for|to|about|that|at|on|in|every)\b|$))"
)
_WHEN = re.compile(r"^when it is (?=\d|half|quarter|one\b|two\b|three\b|noon)")
_ANCHOR = r"remind me|remind|reminders?|reminded|reminding"
_TOLD = re.compile(
    r"^(?:.{1,30}?\b(?:says?|said|told (?:us|me|\w+)|wrote|writes|reckons?|thinks?|mentioned|rang)"
    r" (?:that )?(?=\w+ \w)"
    r"|i (?:always|keep|will|would|might) forget(?:ting)?\b ?"
    r"|i (?:must not|can not|should not|mustn't|shouldn't) forget (?:about )?|you see |well |and "
    r"|i (?:must|need to) not forget |i am worried about |there is )"
)
_LEADS = re.compile(
    r"^(?:please|can you|could you|would you|will you|want you|you to|and|also|so|just|then|to"
    r"|about"
    r"|of|for|that|in|on|at|it is|by|when)\b ?"
)
_TAIL = re.compile(
    r" ?\b(?:please|would you|will you|could you|can you|for me|and|at|on|for|in|by|to|again|too"
    r"|as well|from|until|every|then|or)$"
)
_OF_STORY = ("", "that", "it", "this", "them", "then", "of it", "me", "so", "those", "us")
AND = ";"
"""Between moments, if there are several."""
_CHANGE = r"change|move|shift|push|bring|postpone|make|reschedule|put back|alter|switch|delay"


def reminder_wanted(text: str, clauses: Sequence[str], now: datetime) -> Wanted | None:
    """What `text` with these clauses wants of reminders; None if nothing."""
    parts = [_WHEN.sub("at ", _REMIND.sub("remind me", one)) for one in clauses or (text,)]
    taken = told(parts, _REMIND.sub("remind me", text), _ANCHOR)
    if taken is None:
        return None
    order = taken.order
    asks = re.match(
        r"^(?:and |so |sorry |um )*(?:what|which|when|how many|is there|are there|do i|did i|have i"
        r"|was there|any|show|list|read|what's|tell me what|tell me which)\b",
        order,
    )
    if asks is not None:
        return "list", {}
    named = re.search(r"\breminders?\b|remind me (?:of|about)", order)
    cancels = CANCEL.replace("forget|", "").replace("|off|", "|") + "|forget (?:about )?(?:the|my)"
    if has(order, cancels) and named is not None:
        if has(without(order, "any more|anymore"), ALL):
            return "cancel_all", {}
        which = _which(order)
        return "cancel", {"which": which} if which else {}
    if (changed := _changed(taken, now)) is not None:
        return changed
    if has(order, NOT):
        return None
    if repeats_otherwise(" ".join(parts)):
        return "cannot_repeat", {}
    when = moment_told(taken, now)
    if when is None:
        return None
    several = _several(taken.order, when, now)
    what, intent = _what(taken, several, now)
    return (intent, {"when": several.said, "what": what}) if what else None


def _several(order: str, first: FoundMoment, now: datetime) -> FoundMoment:
    """`first`, and another that the order names beside it: "at 9 and at 6"."""
    other = moment_in(first.taken_from(order), now)
    if other is None or not any(
        re.search(rf"{re.escape(one.said)} and (?:at )?{re.escape(two.said)}\b", order)
        for one, two in ((first, other), (other, first))
    ):
        return first
    return FoundMoment(f"{first.said}{AND}{other.said}", (*first.pieces, *other.pieces))


def _which(order: str) -> str:
    """What the reminder that is meant is about."""
    found = re.search(r"\bremind(?:er|ers| me) (?:about|to|of|for) (?:the |my )?(.+)$", order)
    before = re.search(r"\b(?:the|my|that) ([a-z' ]+?) reminder\b", order)
    what = found[1] if found is not None else before[1] if before is not None else ""
    return without(what, "any more|anymore|reminder|please|today").split(" , ")[0].strip()


def _changed(taken: Told, now: datetime) -> Wanted | None:
    """What is to become of a reminder that is there; None if none is to be changed."""
    order = taken.order
    found = re.search(rf"\b(?:{_CHANGE})\b.* (?:the|my|that) (?P<which>.*?)reminder\b", order)
    if found is None:
        return None
    rest = order[found.end() :]
    about = re.match(r" (?:about|to|of|for) (?:the |my )?(?P<which>.+?)(?= (?:to|by|until|back|on"
                     r"|forward|from|later|earlier)\b)", rest)  # fmt: skip
    which = (about["which"] if about is not None else found["which"]).strip()
    slots = {"which": which} if which else {}
    if repeats_otherwise(rest):
        return "cannot_repeat", {}
    length = length_in(rest)
    if length is not None and has(order, "later|earlier|forward|back|sooner|by|delay|postpone"):
        later = not has(order, "earlier|forward|sooner")
        return "shift", {**slots, "length": length, "direction": "later" if later else "earlier"}
    when = moment_told(Told(rest, taken.before, taken.after), now)
    return ("change", {**slots, "when": when.said}) if when is not None else None


def _what(taken: Told, when: FoundMoment, now: datetime) -> tuple[str, str]:
    """What is to be remembered, and the intent of such a reminder: it stands in the order, or else
    in the story."""
    order = _without_fillers(when.taken_from(taken.order))
    cue = re.search(r"\bremind me\b ?(?P<kind>to|about|of|that)? ?(?P<what>.*)$", order)
    if cue is None:
        return "", ""
    what, before = _tidy(cue["what"]), _tidy(order[: cue.start()])
    kind = cue["kind"]
    if what in _OF_STORY and before not in _OF_STORY:
        what = before
    elif cue["kind"] == "to":
        return what, "to"
    if what in _OF_STORY:
        what = next(filter(None, (_of_story(one, when, now) for one in taken.story)), "")
        kind = None
        if what.startswith("to "):
            return what.removeprefix("to "), "to"
    duty = re.match(r"i (?:have|need|ought|want|am meant|am supposed)(?: got)? to (.+)", what)
    if duty is not None:
        return duty[1], "to"
    return what, _intent(what, kind)


def _intent(what: str, kind: str | None) -> str:
    return "that" if kind != "about" and is_statement(what) else "about"


def _of_story(clause: str, when: FoundMoment, now: datetime) -> str:
    """What a clause of the story is about."""
    said = moment_in(clause, now)
    if said is not None and (said.said in when.said or when.said.startswith(said.said)):
        clause = said.taken_from(clause)
    elif when.said not in clause:
        for piece in when.pieces:
            clause = clause.replace(piece, " ") if piece else clause
    before = ""
    while before != clause:
        before, clause = clause, _TOLD.sub("", clause.removeprefix("remind me"), count=1).strip()
    if clause in _OF_STORY:
        return ""
    return f"to {_tidy(clause)}" if clause.startswith("to ") else _tidy(clause)


def _without_fillers(text: str) -> str:
    return " ".join(re.sub(r"^, |\s*,(?=\s|$)", " ", text).split())


def _tidy(what: str) -> str:
    before = None
    while before != what:
        before = what
        what = _TAIL.sub("", _LEADS.sub("", what.strip())).strip()
    return what
