"""Forgets what was said, and keeps nothing for a while, if the user says so."""

from ..alarms.spoken_times import duration, said_duration
from ..store.store import Store
from .ability import Ability, Answer, Request
from .keywords.itself import privacy_wanted
from .private_time import PrivateTime

_USUAL_SECONDS = 3600
SENTENCES = {
    "forget": (
        "(forget|delete|erase|remove) (that|it|this|what i [just] said|the last (thing|sentence"
        "|request|recording|turn)) [again]",
        "(forget|delete|erase) [that] i [ever|just] said (that|it|this)",
        "(do not|never) (learn|remember|keep|store|save|record) [from] (that|this|it|what i [just]"
        " said)",
        "(i did not say that|that was not (me|for you|meant for you)|never mind that)",
    ),
    "private": (
        "(private|privacy) [mode] [on|please]",
        "(private|privacy) [mode] for {length}",
        "(go|turn|switch|be) [to|on|into] (private|privacy) [mode]",
        "(go|turn|switch|be) [to|on|into] (private|privacy) [mode] for {length}",
        "(do not|stop) (record|recording|learn|learning|remember|remembering|store|storing|keep"
        "|keeping) [me|anything|things|from me] [for {length}]",
        "(i want|we want|give me|give us) [some] privacy",
    ),
    "private_end": (
        "(private|privacy) [mode] (off|is over)",
        "(end|stop|leave|turn off|switch off) [the] (private|privacy) [mode]",
        "you (may|can) (record|learn|remember|listen) again",
        "(start|begin) (recording|learning|remembering) again",
    ),
    "ask": (
        "(are you|is it) (recording|in private mode|private|learning) [me|now|from me]",
        "do you (record|keep|store|learn from) (me|this|what i say|my voice)",
    ),
    "know": (
        "what do you (know|remember|have|store|keep) (of|about|from|on) me",
        "what (have you|did you) (kept|stored|learnt|learned|recorded|learn|record) (of|about|from)"
        " me",
        "how many recordings [of me] (do you have|are there|have you got)",
    ),
}


def privacy_ability(store: Store, private: PrivateTime) -> Ability:
    """What is kept of the user."""
    return Ability(
        name="privacy",
        example="forget that",
        sentences=SENTENCES,
        answer=lambda request: _answer(request, store, private),
        by_keywords=lambda request: privacy_wanted(request.slots["text"]),
        about=("private mode", "privacy", "about me"),
    )


def _answer(request: Request, store: Store, private: PrivateTime) -> Answer | None:
    match request.intent:
        case "forget":
            last = request.last
            if last is None or not last.heard.strip():
                return Answer("There is nothing to forget.")
            return Answer("I have forgotten it.", last.forget, grave=True)
        case "private":
            length = request.slots.get("length")
            read = duration(length) if length is not None else (_USUAL_SECONDS, "")
            if read is None or read[1]:
                return None
            seconds = read[0]
            return Answer(
                f"I keep nothing of what is said for {said_duration(seconds)}.",
                lambda: private.begin(seconds),
                private.end,
            )
        case "private_end":
            return Answer("I learn from what you say again.", private.end, grave=True)
        case "ask":
            if private.left_seconds:
                left = said_duration(60 * round(private.left_seconds / 60) or 60)
                return Answer(f"No. I keep nothing for {left}.")
            if not private.keeps:
                return Answer("No. I keep no recordings.")
            return Answer("Yes. I keep what you say to me on this device, to learn your voice.")
        case "know":
            return Answer(_known(store))
    return None


def _known(store: Store) -> str:
    counts = store.counts()
    minutes = round(counts.seconds / 60)
    if not counts.utterances:
        return "I have no recording of you."
    return (
        f"I have {counts.utterances} recordings of you, {minutes} minutes of speech. They are on"
        " this device only."
    )
