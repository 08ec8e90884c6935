"""What the assistant says when it doubts what it heard, and what counts as the user's yes or no.
Pure."""

from typing import Literal

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

SAY_AGAIN = "Then please say it again."


def question(words: str) -> str:
    """Asks whether `words` are what was said."""
    return f"I am not sure that I heard you. Did you say: {words.strip()}"


def answer_to_question(words: str) -> Literal["yes", "no"] | None:
    """Whether `words` agree or disagree; None where they are something else, such as the request
    once more."""
    plain = "".join(letter for letter in words.lower() if letter.isalpha() or letter.isspace())
    plain = " ".join(plain.split())
    return "yes" if plain in _YES else "no" if plain in _NO else None
