"""The rule of the conversation: decides what follows from what was heard. Pure.

The user gets an answer, or a question back if the words are in doubt. A yes or a no is taken for
the answer to such a question. If nothing was understood, nothing follows.
"""

from dataclasses import dataclass
from typing import Literal

from engines.types import SoftTokens, Transcript

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


@dataclass(frozen=True)
class AskBack:
    """A move: the user is asked whether these words were said."""

    words: str


@dataclass(frozen=True)
class AskAgain:
    """A move: the user said no, and is asked to say it again."""


@dataclass(frozen=True)
class SayNothing:
    """A move: there is nothing to answer, such as a cough, or doubted speech without any words to
    ask about."""


Move = Answer | AskBack | AskAgain | SayNothing


def decide(
    heard: Transcript | SoftTokens,
    words: str,
    *,
    asks_back: bool,
    doubted: Doubted | None,
    quiet_seconds: float,
) -> Move:
    """Decide what follows from `heard`, which is `words` as text.

    `asks_back` says whether this route asks the user about words that it is not sure of. `doubted`
    is what the user was asked about in the last turn, which ended `quiet_seconds` ago.
    """
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


def question(words: str) -> str:
    """Return the question whether `words` were said."""
    return f"I am not sure that I heard you. Did you say: {words.strip()}"


def answer_to_question(words: str) -> Literal["yes", "no"] | None:
    """Return whether `words` agree or disagree; None if they are something else, such as the
    request once more."""
    plain = "".join(letter for letter in words.lower() if letter.isalpha() or letter.isspace())
    plain = " ".join(plain.split())
    return "yes" if plain in _YES else "no" if plain in _NO else None
