"""Says again what was said, and tells what was heard."""

from .ability import Ability, Answer, Request
from .keywords.itself import talk_wanted

SENTENCES = {
    "repeat": (
        "(repeat|say) [that|it|this] [again|once more|one more time]",
        "(repeat|say) (the|your) [last] (answer|reply|sentence|words) [again|once more]",
        "(what|what was that|what did you [just] say|come again|once more|again|one more time"
        "|pardon|pardon me|sorry|excuse me|say what)",
        "i (did not|do not|could not) (hear|get|catch|understand) (that|it|you|what you said)",
        "what (did you|was it you) [just] (say|said)",
        "what was (your|the) [last] (answer|reply)",
    ),
    "heard": (
        "what (did i|have i) [just] (say|said|ask|asked) [you]",
        "what (did you|have you) [just] (hear|heard|understand|understood)",
        "(repeat|say|<tell>) what i [just] (said|asked)",
        "what was my [last] (question|request)",
    ),
}


def talk_ability() -> Ability:
    """Saying things again."""
    return Ability(
        name="talk",
        example="say that again",
        sentences=SENTENCES,
        answer=_answer,
        by_keywords=lambda request: talk_wanted(request.slots["text"]),
        about=("did i say", "did i just say", "say that again", "repeat that"),
    )


def _answer(request: Request) -> Answer | None:
    last = request.last
    if request.whole and request.intent == "repeat":
        return None  # "sorry" alone asks for it; "sorry, what day is it" does not
    if request.intent == "repeat":
        return Answer(last.reply if last and last.reply else "I have not said anything yet.")
    if last is None or not last.heard.strip():
        return Answer("I have not heard anything yet.")
    return Answer(f"I heard: {last.heard.strip()}")
