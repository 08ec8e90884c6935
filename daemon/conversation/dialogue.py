"""The rule of the conversation: what follows from what was heard. Pure.

It is answered, or asked about where the words are in doubt; a yes or a no is the answer to such a
question; and nothing follows where nothing was understood.
"""

from dataclasses import dataclass
from typing import Literal

from engines.types import SoftTokens

QUESTION_STANDS_SECONDS = 60.0
"""For how long a yes or a no is taken for the answer to what was asked back."""

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
    """What the user was asked about."""

    utterance: str | None
    """None where audio is not kept."""
    words: str


@dataclass(frozen=True)
class Answer:
    """The language model replies to this."""

    heard: str | SoftTokens
    confirmed: Doubted | None = None
    """What the user has just said yes to."""


@dataclass(frozen=True)
class AskBack:
    """The user is asked whether these words were said."""

    words: str


@dataclass(frozen=True)
class AskAgain:
    """The user said no, and is asked to say it again."""


@dataclass(frozen=True)
class SayNothing:
    """There is nothing to answer: a cough, or words that could not even be asked about."""


Move = Answer | AskBack | AskAgain | SayNothing


def decide(
    heard: str | SoftTokens,
    words: str,
    *,
    asks_back: bool,
    doubted: Doubted | None,
    quiet_seconds: float,
) -> Move:
    """What follows from `heard`, whose words for people are `words`.

    `asks_back` says whether this route asks about what it is not sure of. `doubted` is what the
    user was asked about in the last turn, which ended `quiet_seconds` ago.
    """
    if doubted is not None and quiet_seconds < QUESTION_STANDS_SECONDS:
        match answer_to_question(words):
            case "yes":
                return Answer(doubted.words, confirmed=doubted)
            case "no":
                return AskAgain()
            case None:
                pass
    if asks_back and isinstance(heard, SoftTokens) and not heard.sure:
        return AskBack(words) if words.strip() else SayNothing()
    empty = not heard.strip() if isinstance(heard, str) else not len(heard.vectors)
    return SayNothing() if empty else Answer(heard)


def question(words: str) -> str:
    """The question whether `words` were said."""
    return f"I am not sure that I heard you. Did you say: {words.strip()}"


def answer_to_question(words: str) -> Literal["yes", "no"] | None:
    """Whether `words` agree or disagree; None where they are something else, such as the request
    once more."""
    plain = "".join(letter for letter in words.lower() if letter.isalpha() or letter.isspace())
    plain = " ".join(plain.split())
    return "yes" if plain in _YES else "no" if plain in _NO else None
