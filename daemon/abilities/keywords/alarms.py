"""What a sentence wants of alarms, by single words. Pure."""

import re
from collections.abc import Sequence
from datetime import datetime

from ...alarms.spoken_times import repeats_otherwise
from .clauses import moment_told, told
from .finding import ALL, CANCEL, Wanted, has, length_in, moment_in, without

_ALARM = (
    "alarms?|wake|woken|waking|wakes|get me up|be up|get up|getting up|out of bed|sleep past"
    "|sleep in|awake|snooze|lie in|oversleep|alarm clock|rouse"
)
_PLACE = re.compile(r"\b(first|second|third|2nd|3rd|last|latest|earliest|other) (?:alarm|one)\b")
_LIE_IN = "lie in|sleep in|do not wake|not to wake|no need to wake|not wake"


def alarm_wanted(text: str, clauses: Sequence[str], now: datetime) -> Wanted | None:
    """What `text` with these clauses wants of alarms; None if nothing."""
    taken = told(clauses, text, _ALARM)
    if taken is None:
        return None
    order = taken.order
    if has(order, "snooze"):
        length = length_in(text)
        return "snooze", {} if length is None else {"length": length}
    when = moment_told(taken, now, morning=True)
    own = moment_in(order, now, morning=True)
    lies_in = has(order, _LIE_IN) and not has(text, "do not let me|so i do not")
    if lies_in and not (when is not None and has(text, "till|until|before")):
        return "cancel", {}
    length = length_in(order)
    named = has(order, "alarms?")
    if named and length is not None and has(order, "later|earlier|forward|back|sooner"):
        earlier = has(order, "earlier|forward|sooner")
        return "shift", {"length": length, "direction": "earlier" if earlier else "later"}
    if named and when is not None and has(order, "change|move|instead|shift|push|bring"):
        return "change", {"when": when.said}
    if has(order, CANCEL + "|no alarms?|do not want (?:the|that|my|this|any)") and not has(
        order, "go off|goes off|going off|set off|get rid of sleep"
    ):
        if has(without(order, "any more|anymore"), ALL) and named:
            return "cancel_all", {}
        place = _PLACE.search(order)
        which = place[1] if place is not None else own.said if own is not None else ""
        return "cancel", {"which": which} if which else {}
    asks = re.match(
        r"^(?:and |so |sorry |well )*(?:what|which|when|how|is|are|do|does|did|have|has|am|will"
        r"|show|list|tell|check|any|for when|at what)\b",
        without(order, "can you|could you|please"),
    )
    if asks is not None:
        return "list", {}
    if repeats_otherwise(text):
        return "cannot_repeat", {}
    if when is not None and not has(order, "never"):
        return "set", {"when": when.said}
    if has(text, "what time|which alarms?|when|any alarms?|is there|left|list"):
        return "list", {}
    return None
