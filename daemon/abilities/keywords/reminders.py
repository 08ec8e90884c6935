"""What a sentence wants of reminders, by single words. Pure."""

import re
from datetime import datetime

from .finding import ALL, CANCEL, NOT, FoundMoment, Wanted, has, moment_in, without

_ANCHOR = (
    "remind|reminder|reminders|reminded|reminding|nudge|jog my memory|let me forget|i do not forget"
    "|forget to|to remember|poke me|prod me|give me a shout|give me a nudge"
)
_AROUND = (
    "please|can you|could you|would you|will you|remind me|remind|put|set|make|a reminder|reminder"
    "|give me a nudge|nudge me|nudge|jog my memory|do not let me forget|make sure|i do not forget"
    "|give me a shout|poke me|prod me|tell me|i need|i have got|i am meant|i am supposed|i have"
    "|i want|i am going|i must|i should|i got|and|also|so|um|er|uh|just|that|then|for me|don't"
    "|there is|it is|need|want you"
)


def reminder_wanted(text: str, now: datetime) -> Wanted | None:
    """What `text` wants of reminders; None if nothing."""
    when = moment_in(text, now)
    told = re.search(r"\b(?:tell me|ask me|remember me|reminded|give me a nudge|nudge me)\b", text)
    if told is not None and when is not None and has(text, "to|about|of"):
        return _set(text, when)
    if not has(text, _ANCHOR):
        return None
    asks = re.match(
        r"^(?:and |so |sorry |um )*(?:what|which|when|how many|is there|are there|do i|did i|have i"
        r"|was there|any|show|list|read|what's|tell me what|tell me which)\b",
        text,
    )
    if asks is not None and not has(text, "can you|could you"):
        return "list", {}
    if has(text, CANCEL.replace("forget|", "")) and has(text, "reminders?|remind me"):
        if has(text, ALL):
            return "cancel_all", {}
        about = re.search(r"\b(?:about|to|of|for) (?:the |my )?(.+)$", text)
        what = without(about[1], "any more|anymore|reminder") if about is not None else ""
        return "cancel", {"which": what} if what else {}
    if has(text, NOT) and not has(text, "let me forget|i do not forget|do not forget"):
        return None
    if when is None:
        return None
    return _set(text, when)


def _set(text: str, when: FoundMoment) -> Wanted | None:
    rest = when.taken_from(text)
    about = re.search(
        r"\b(?:remind me|nudge me|a nudge|reminder|forget|tell me|reminded) (?:about|of|for) (.+)$",
        rest,
    )
    if about is not None and _tidy(about[1]) in ("that", "it", "this"):
        rest, about = rest[: about.start()], None
    if about is not None:
        return "about", {"when": when.said, "what": _tidy(about[1])}
    to = re.search(
        r"\b(?:remind me|nudge me|a nudge|reminder|forget|tell me|ask me|shout|remember|remember me"
        r"|reminded) to (.+)$",
        rest,
    )
    what = to[1] if to is not None else without(rest, _AROUND)
    what = _tidy(re.sub(r"^(?:to|about|of) ", "", what.strip()))
    if not what:
        return None
    is_verb = to is not None or has(rest, "to " + re.escape(what.split()[0]))
    return ("to" if is_verb else "about"), {"when": when.said, "what": what}


def _tidy(what: str) -> str:
    what = without(what, "please|would you|will you|could you|can you")
    return re.sub(r"(?:^(?:to|and|or|at|on|for) | (?:and|at|on|for|in|by|to)$)", "", what).strip()
