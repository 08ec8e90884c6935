"""What a sentence wants of Attune itself: its voice, its memory, what it can do. By single words.
Pure."""

import re
from collections.abc import Sequence

from .finding import Wanted, has, length_in

_HUSH = re.compile(
    r"(?:you |now |just |shh+ )*"
    r"(?:mute|be (?:quiet|silent)|hush|shush|shut up|pipe down|stay quiet|silence)\b(?! (?:is|was))"
)


def talk_wanted(text: str) -> Wanted | None:
    """What `text` wants to be said again; None if nothing."""
    if (
        has(text, "did i|i just|i said|i asked|from me|my last|you (?:just )?hear me|heard me")
        and has(text, "say|said|ask|asked|hear|heard|understand|understood|question|request|words")
        and has(text, "what|which|repeat")
    ):
        return "heard", {}
    missed = (
        "missed|did not (?:hear|catch|get|understand)|pardon|come again|could not hear|say what"
    )
    again = r"(?:say|repeat|tell me|run|read|give me)\b.* (?:again|once more|one more time|slower)"
    if (
        has(text, missed)
        or re.search(rf"\b{again}", text)
        or has(
            text,
            "repeat (?:that|it|yourself|your|what you|the)|what did you (?:just )?say"
            "|what was that",
        )
    ):
        return "repeat", {}
    return None


def volume_wanted(text: str, clauses: Sequence[str] = ()) -> Wanted | None:
    """What `text` with these clauses wants of the volume; None if nothing."""
    if any(_HUSH.match(one) for one in clauses or (text,)) or has(text, "yourself (?:on|to) mute"):
        return "least", {}
    anchor = (
        "volume|your voice|the voice|loud|louder|quieter|quietly|quiet|softer|softly|shouting"
        "|speak up|sound"
    )
    if not has(text, anchor) and not has(
        text, "hear you|turn (?:yourself|it|you)|(?:put|keep) yourself|whisper"
    ):
        return None
    percent = re.search(r"(\d+) ?(?:%|percent|per cent)?", text)
    if percent is not None and has(text, "volume|percent|loud|sound|yourself|%"):
        return "to", {"percent": percent[0].strip()}
    level = re.search(r"\b(half|normal|usual|medium|middle|quarter|default)\b", text)
    if level is not None and has(text, "volume|voice|loud|sound|yourself"):
        return "level", {"level": level[1]}
    if has(text, "full|maximum|max|as loud as"):
        return "full", {}
    if has(text, "what|how loud|which") and has(text, "volume|loud"):
        return "ask", {}
    if has(
        text,
        "quieter|more quiet|softer|softly|quietly|gentler|down|lower|too loud|so loud|shouting|less"
        "|reduce|smaller|more small|whisper|too high|too big|too strong|too much|decrease",
    ):
        return "down", {}
    if has(
        text,
        "louder|up|raise|more|too quiet|hear you|increase|not loud|higher|too soft|bigger|stronger"
        "|too low",
    ):
        return "up", {}
    return None


def privacy_wanted(text: str) -> Wanted | None:
    """What `text` wants of what is kept; None if nothing."""
    length = length_in(text)
    if has(text, "private|privacy|off the record|confidential"):
        if has(
            text, "end|stop|over|leave|off|finished|done|back to normal|no longer|out of|cancel"
        ) and (length is None and not has(text, "off the record")):
            return "private_end", {}
        if has(text, "are you|is it|still"):
            return "ask", {}
        return "private", {} if length is None else {"length": length}
    if (
        has(text, "stored|know|knows|remember|learned|learnt|kept|keep|recorded|got|saved")
        and has(text, "about me|of me|on me|from me|my voice")
        and has(text, "what|how much|how many|anything")
    ):
        return "know", {}
    if has(text, "recording|listening in|taping|record me|record what|recorded|storing") and has(
        text, "are you|do you|is this|is it|is that|am i|being"
    ):
        return "ask", {}
    keeps_nothing = "recording|learning|remembering|storing|record anything|record any of"
    if has(text, "stop|do not|pause|quit") and has(text, keeps_nothing):
        return "private", {} if length is None else {"length": length}
    if has(text, "record again|learn again|recording again|learning again"):
        return "private_end", {}
    stored = "recordings?|everything (?:you|i) (?:heard|recorded|said|know)|all of mine"
    if has(text, "forget|delete|erase|wipe|remove") and has(text, stored):
        day = re.search(
            r"\b(today|yesterday|this (?:morning|afternoon|evening)|last night)\b", text
        )
        if day is not None:
            return "forget_span", {"day": day[1]}
        recent = re.search(r"\b(?:last|past) (hour|minute|day)\b", text)
        if length is not None or recent is not None:
            return "forget_span", {"length": length or f"1 {recent[1] if recent else ''}"}
        return "forget_all", {}
    forget = "forget|delete|erase|wipe|remove|scrub|do not remember|do not keep|do not save"
    if (
        has(text, forget)
        and has(text, "that|it|last|what i|i just|i said|thing i|just now|just said")
        and not has(text, "list|timer|timers|alarm|alarms|reminder|reminders|about")
    ):
        return "forget", {}
    return None


def help_wanted(text: str) -> Wanted | None:
    """Whether `text` asks what Attune can do or is; None if not."""
    if has(text, "you") and (
        has(
            text,
            "what (?:can|could|do|else can|all can|sort of things|kind of things|things)"
            "|how (?:can|could|do|are)|ask you|use you|help me|able to|capable",
        )
        and has(
            text,
            "you do|ask you|able to|help me|of help|good at|good for|use you|say to you"
            "|you capable|tell you to|can help|you can do|do for me",
        )
    ):
        return "help", {}
    if has(
        text,
        "who are you|what are you|your name|who is this|who am i (?:talking|speaking) to"
        "|what do i call you|called then|are you called",
    ):
        return "self", {}
    return None
