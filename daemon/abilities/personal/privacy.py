"""Keeps what is said, and learns from it, once the user agrees; forgets it, or keeps nothing for a
while, if the user says so."""

from collections.abc import Callable

from ...alarms.spoken_times import duration, said_duration
from ...privacy.consent import QUESTION, Consent
from ...privacy.forgetting import Forgetting
from ...privacy.keeping import Keeping
from ...store.store import Store
from ..ability import Ability, Answer, Request
from ..keywords.itself import privacy_wanted
from . import forget

_USUAL_SECONDS = 3600
_NOTHING_KEPT = "No. I keep nothing of what you say."
SENTENCES = {
    "forget": (
        "(forget|delete|erase|remove) (that|it|this|what i [just] said|the last (thing|sentence"
        "|request|recording|turn)) [again]",
        "(forget|delete|erase) [that] i [ever|just] said (that|it|this)",
        "(do not|never) (learn|remember|keep|store|save|record) [from] (that|this|it|what i [just]"
        " said)",
        "(i did not say that|that was not (me|for you|meant for you))",
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
    "agree": (
        "(learn|start learning|start to learn) (from me|from what i say|my voice)",
        "you (may|can) (learn|keep|record|store|remember) (from me|what i say|my voice|from what i"
        " say)",
        "(turn|switch) on learning",
        "(turn|switch) learning on",
        "i (agree|allow you) to (learn|learning|record|recording|keep|keeping) [me|my voice|what i"
        " say|from me]",
        "i want you to learn (from me|my voice)",
    ),
    "disagree": (
        "(stop|quit|end) (learning|recording|keeping) [from me|me|my voice|what i say] (for good"
        "|for ever|forever|altogether|completely)",
        "(do not|never) (learn|record|keep) [from] (me|my voice|what i say) (again|any more"
        "|anymore|ever|ever again)",
        "(turn|switch) off learning",
        "(turn|switch) learning off",
        "i [do] (no longer|not) (agree|allow you|want you) [any more] to (learn|record|keep"
        " recordings) [from me|me|my voice|of me]",
        "i take [back] my (consent|agreement) [back]",
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


def privacy_ability(
    store: Store, keeping: Keeping, forgetting: Callable[[], Forgetting]
) -> Ability:
    """What is kept of the user."""
    return Ability(
        name="privacy",
        example="forget that",
        sentences=SENTENCES | forget.SENTENCES,
        lists={"day": forget.DAYS},
        answer=lambda request: (
            forget.forget_answer(request, forgetting)
            if request.intent in forget.SENTENCES
            else _answer(request, store, keeping, forgetting)
        ),
        by_keywords=lambda request: privacy_wanted(request.slots["text"]),
        about=("private mode", "privacy", "about me"),
    )


def consent_question(consent: Consent, asks: str = QUESTION) -> Answer:
    """The question whether what is said may be kept."""
    return Answer(
        asks,
        if_yes=Answer(
            'Thank you. You can say "forget that" or "stop learning for good" at any time.',
            lambda: _decide(consent, agreed=True),
            lambda: _decide(consent, agreed=False),
        ),
        if_no=Answer("Then I keep nothing.", lambda: _decide(consent, agreed=False)),
    )


def _decide(consent: Consent, *, agreed: bool) -> None:
    consent.decide(agreed, "voice")


def _answer(
    request: Request, store: Store, keeping: Keeping, forgetting: Callable[[], Forgetting]
) -> Answer | None:
    consent, private = keeping.consent, keeping.private
    match request.intent:
        case "forget":
            if request.last is None or not request.last.heard.strip():
                return Answer("There is nothing to forget.")
            return forget.forget_last(request.last, forgetting)
        case "private":
            length = request.slots.get("length")
            read = duration(length) if length is not None else (_USUAL_SECONDS, "")
            if read is None or read[1]:
                return None
            seconds = read[0]
            if not consent.agreed:
                return Answer("I keep nothing of what you say anyway.")
            return Answer(
                f"I keep nothing of what is said for {said_duration(seconds)}.",
                lambda: private.begin(seconds),
                None if private.left_seconds else private.end,
            )
        case "agree" | "private_end":
            if not keeping.recordings:
                return Answer("The settings of this device want no recordings kept.")
            if not consent.agreed:
                return consent_question(consent)
            again = " again" if private.left_seconds else ""
            return Answer(f"I learn from what you say{again}.", private.end, grave=True)
        case "disagree":
            if not consent.agreed:
                return Answer("I keep nothing of what you say anyway.")
            return Answer(
                "I keep nothing more of what you say. What I kept before is still here.",
                lambda: _decide(consent, agreed=False),
            )
        case "ask":
            if not consent.agreed:
                return Answer(_NOTHING_KEPT)
            if private.left_seconds:
                left = said_duration(60 * round(private.left_seconds / 60) or 60)
                return Answer(f"No. I keep nothing for {left}.")
            if not keeping.recordings:
                return Answer("No. I keep no recordings.")
            return Answer("Yes. I keep what you say to me on this device, to learn your voice.")
        case "know":
            return Answer(_known(store))
    return None


def _known(store: Store) -> str:
    counts = store.counts()
    if not counts.utterances:
        return "I have no recording of you."
    recordings = forget.counted(counts.utterances, "recording")
    minutes = forget.counted(round(counts.seconds / 60), "minute") or "less than a minute"
    return f"I have {recordings} of you, {minutes} of speech, on this device only."
