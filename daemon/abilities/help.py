"""Tells what Attune can do."""

from collections.abc import Sequence

from ..alarms.spoken_times import joined_words
from .ability import Ability, Answer, Request
from .keywords.itself import help_wanted

SENTENCES = {
    "help": (
        "what (can|could|do) you [all|actually] do [for me|here]",
        "what (can|could|may) i (say|ask|tell you|do|ask you) [to you|here]",
        "[<tell>] (help|help me|i need help|instructions)",
        "(what are|<tell>) (your|the) (abilities|skills|features|commands|functions)",
        "how (can|could) you help [me]",
        "how (do|does) (you|this|it) work",
        "how (do|can|should) i use (you|this)",
        "what are you (good for|able to do|for)",
        "what else can you do",
        "<tell> what you can do",
    ),
    "self": (
        "(who|what) are you",
        "what is your name",
        "do you have a name",
        "(how|what) (do|should|can) i call you",
        "who (am i talking to|is this|is there)",
        "introduce yourself",
    ),
}


def help_ability(others: Sequence[Ability]) -> Ability:
    """What `others` can do."""
    return Ability(
        name="help",
        example="what can you do",
        sentences=SENTENCES,
        answer=lambda request: _answer(request, others),
        by_keywords=lambda request: help_wanted(request.slots["text"]),
    )


def _answer(request: Request, others: Sequence[Ability]) -> Answer:
    if request.intent == "self":
        return Answer("I am Attune. I live on this device and learn how you speak.")
    return Answer(f"You can say, for example: {examples(others)}.")


def examples(abilities: Sequence[Ability], most: int = 6) -> str:
    """Sentences that abilities understand, as a list."""
    told = [ability.example for ability in abilities[:most]]
    return joined_words([f'"{example}"' for example in told]).replace(" and ", " or ")
