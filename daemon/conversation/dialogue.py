"""The rule of the conversation: decides what follows from what was heard. Pure.

The user gets an answer, or a question back if the words are in doubt. A yes or a no is taken for
the answer to such a question, and "no, I said …" for what was really said before. If nothing was
understood, nothing follows.
"""

import re
from dataclasses import dataclass
from typing import Literal

from engines.types import SoftTokens, Transcript

Mode = Literal["assistant", "repeat", "dictate"]
"""What is done with what is heard: it is answered, said again in a clear voice, or only written."""

QUESTION_STANDS_SECONDS = 60.0
"""Seconds for which a yes or a no is taken for the answer to the question back."""

SAY_AGAIN = "Then please say it again."

_YES = frozenset(
    {
        "yes",
        "yeah",
        "yep",
        "yes please",
        "right",
        "that is right",
        "thats right",
        "correct",
        "exactly",
        "sure",
        "ok",
    }
)
_NO = frozenset(
    {"no", "nope", "no thank you", "no thanks", "wrong", "that is wrong", "thats wrong", "not that"}
)


_CORRECTS = re.compile(
    r"\W*(?P<no>no\b\W*|not that\b\W*|wrong\b\W*)?"
    r"(?:i said|i meant|i mean|what i said was|what i meant was|i was saying)\b\W*(?P<meant>.+)",
    re.IGNORECASE | re.DOTALL,
)
_TELLS = re.compile(
    r"(?:to|that|it|so|this|i|he|she|we|they|you|yes|no|nothing|something|hello|goodbye)\b",
    re.IGNORECASE,
)
"""How it goes on where somebody tells what they said to others."""
_STOP = frozenset(
    {"stop", "stop it", "stop talking", "stop speaking", "be quiet", "quiet", "silence"}
)
_ENOUGH = _STOP | frozenset(
    {
        "ok",
        "okay",
        "thanks",
        "thank you",
        "enough",
        "that is enough",
        "thats enough",
        "i heard you",
        "i hear you",
        "got it",
        "i am up",
        "im up",
        "im awake",
        "i am awake",
        "turn it off",
        "turn off",
        "switch it off",
        "off",
        "dismiss",
        "stop ringing",
        "stop the alarm",
        "stop the timer",
        "turn off the alarm",
        "turn the alarm off",
        "turn off the timer",
        "turn the timer off",
        "cancel",
        "silence the alarm",
        "yes",
        "all right",
        "alright",
        "i know",
    }
)
"""What ends the ringing of an alarm."""
_MODE_ASKED: dict[str, Mode] = {
    "repeat mode": "repeat",
    "repeat after me": "repeat",
    "repeat what i say": "repeat",
    "start repeating": "repeat",
    "dictation mode": "dictate",
    "take dictation": "dictate",
    "start dictation": "dictate",
    "write down what i say": "dictate",
    "assistant mode": "assistant",
    "normal mode": "assistant",
    "stop repeating": "assistant",
    "stop dictation": "assistant",
}
MODE_TOLD: dict[Mode, str] = {
    "assistant": "I answer you again.",
    "repeat": "I repeat what you say. Say stop repeating when I should not.",
    "dictate": "I write down what you say. Say stop dictation when I should not.",
}
"""What is said when a mode begins."""


@dataclass(frozen=True)
class Doubted:
    """The words that the user was asked about, and their utterance."""

    utterance: str | None
    """Id of the utterance; None if audio is not kept."""
    words: str


@dataclass(frozen=True)
class Answer:
    """A move: the language model replies to what was heard."""

    heard: Transcript | SoftTokens
    confirmed: Doubted | None = None
    """The doubted words that the user has just confirmed; None if there are none."""
    corrects: bool = False
    """Whether it takes the place of what was heard before, which was wrong."""


@dataclass(frozen=True)
class AskBack:
    """A move: the user is asked whether these words were said."""

    words: str
    corrects: Doubted | None = None
    """What was heard before, if these words correct it."""


@dataclass(frozen=True)
class AskAgain:
    """A move: the user said no, and is asked to say it again."""


@dataclass(frozen=True)
class SayNothing:
    """A move: there is nothing to answer, such as a cough, or doubted speech without any words to
    ask about."""


@dataclass(frozen=True)
class Repeat:
    """A move: the words are said again in a clear voice, for whoever is opposite."""

    words: str
    confirmed: Doubted | None = None
    """As in `Answer`."""


@dataclass(frozen=True)
class WriteDown:
    """A move: the words are only written, for whoever reads them."""


@dataclass(frozen=True)
class Switch:
    """A move: what is heard is used in another way from now on."""

    mode: Mode


@dataclass(frozen=True)
class FallSilent:
    """A move: the user wants nothing more to be said."""


Move = Answer | AskBack | AskAgain | SayNothing | Repeat | WriteDown | Switch | FallSilent


def decide(
    heard: Transcript | SoftTokens,
    words: str,
    *,
    asks_back: bool,
    doubted: Doubted | None,
    quiet_seconds: float,
    mode: Mode = "assistant",
    ringing: bool = False,
    before: Doubted | None = None,
    typed: bool = False,
) -> Move:
    """Decide what follows from `heard`, which is `words` as text, in `mode`, or was `typed`.
    `ringing` says whether an alarm rings. `before` is what was heard in the last turn.

    `asks_back` says whether this route asks the user about words that it is not sure of. `doubted`
    is what the user was asked about in the last turn, which ended `quiet_seconds` ago.
    """
    if (wanted := _MODE_ASKED.get(plain(words))) is not None:
        return Switch(wanted)
    if plain(words) in (_ENOUGH if ringing else _STOP):
        return FallSilent()
    if mode == "dictate":
        return WriteDown() if words.strip() else SayNothing()
    if mode == "repeat":
        move = decide(heard, words, asks_back=True, doubted=doubted, quiet_seconds=quiet_seconds)
        if not isinstance(move, Answer):
            return move
        confirmed = move.confirmed
        return Repeat(words if confirmed is None else confirmed.words, confirmed)
    last = doubted or before
    meant = corrected(words)
    if meant and last is not None and quiet_seconds < QUESTION_STANDS_SECONDS:
        if typed or (heard.sure and heard.confidence is not None):
            as_long = _is_as_long(meant, last.words)
            confirmed = Doubted(last.utterance, meant) if as_long else None
            return Answer(Transcript(meant), confirmed, corrects=True)
        return AskBack(meant, corrects=last)
    if doubted is not None and quiet_seconds < QUESTION_STANDS_SECONDS:
        match answer_to_question(words):
            case "yes":
                return Answer(Transcript(doubted.words), confirmed=doubted)
            case "no":
                return AskAgain()
            case None:
                pass
    if asks_back and not heard.sure:
        return AskBack(words) if words.strip() else SayNothing()
    return SayNothing() if heard.empty else Answer(heard)


def corrected(words: str) -> str:
    """Return what was really said, in "no, I said …"; empty if `words` correct nothing."""
    found = _CORRECTS.match(words)
    if found is None:
        return ""
    meant = found["meant"].strip()
    tells = found["no"] is None and _TELLS.match(meant) is not None
    return "" if tells or not any(map(str.isalnum, meant)) else meant


def _is_as_long(meant: str, heard: str) -> bool:
    """Whether `meant` can be all of what was heard as `heard`, and not only its wrong part."""
    count, before = len(meant.split()), len(heard.split())
    return 0.6 * before <= count <= 1.7 * before + 1


def question(words: str) -> str:
    """Return the question whether `words` were said."""
    return f"I am not sure that I heard you. Did you say: {words.strip()}"


def answer_to_question(words: str) -> Literal["yes", "no"] | None:
    """Return whether `words` agree or disagree; None if they are something else, such as the
    request once more."""
    return "yes" if plain(words) in _YES else "no" if plain(words) in _NO else None


def plain(words: str) -> str:
    """Return `words` in small letters, without marks."""
    letters = (letter for letter in words.lower() if letter.isalpha() or letter.isspace())
    return " ".join("".join(letters).split())
