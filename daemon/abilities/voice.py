"""Says again what was said, tells what was heard, and makes the voice louder or softer."""

from collections.abc import Callable

from .ability import Ability, Answer, Request
from .keywords.itself import talk_wanted, volume_wanted

STEP = 0.15
_LEAST = 0.05
_LEVELS = {"half": 0.5, "medium": 0.5, "middle": 0.5, "quarter": 0.25}
TALK_SENTENCES = {
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
VOLUME_SENTENCES = {
    "up": (
        "(louder|volume up|speak up|turn up|turn it up|speak louder|talk louder|be louder|more"
        " volume|a bit louder|a little louder)",
        "(turn|put) [<the>] (volume|sound|voice) up [a bit|a little]",
        "turn up [<the>] (volume|sound) [a bit|a little]",
        "(raise|increase) [<the>] (volume|sound) [a bit|a little]",
        "(speak|talk|say it|say that) [a bit|a little|much] (louder|up)",
        "(you are|that is|it is) too (quiet|soft|low)",
        "make it [a bit|a little] louder",
        "i can [not] [hardly] hear you",
    ),
    "down": (
        "(quieter|softer|volume down|turn down|turn it down|less volume|speak softer|speak quieter"
        "|be quieter|not so loud|a bit quieter|a little quieter|speak softly|talk quietly)",
        "(turn|put) [<the>] (volume|sound|voice) down [a bit|a little]",
        "turn down [<the>] (volume|sound) [a bit|a little]",
        "(lower|decrease|reduce) [<the>] (volume|sound) [a bit|a little]",
        "(speak|talk|say it|say that) [a bit|a little|much|more] (quieter|softer|quietly|softly)",
        "(you are|that is|it is) too loud",
        "make it [a bit|a little] (quieter|softer)",
    ),
    "to": (
        "[set|turn|put|change] [<the>] (volume|sound) [up|down] [to|at] {percent} [percent|%]",
        "volume {percent} [percent|%]",
    ),
    "level": ("{level} volume", "[go|turn|put] [back] to {level} volume"),
    "least": ("mute [yourself|the (volume|sound)] [please]",),
    "full": ("([set|turn|put] [<the>] (volume|sound) [up] to (full|maximum|max)|full volume)",),
    "ask": (
        "(what is|how loud is) [<the>] [current] (volume|volume level) [now|set to]",
        "how loud are you",
    ),
}


def talk_ability() -> Ability:
    """Saying things again."""
    return Ability(
        name="talk",
        example="say that again",
        sentences=TALK_SENTENCES,
        answer=_talk_answer,
        by_keywords=lambda request: talk_wanted(request.slots["text"]),
        about=("did i say", "did i just say", "say that again", "repeat that"),
    )


def _talk_answer(request: Request) -> Answer | None:
    last = request.last
    if request.whole and request.intent == "repeat":
        return None  # "sorry" alone asks for it; "sorry, what day is it" does not
    if request.intent == "repeat":
        return Answer(last.reply if last and last.reply else "I have not said anything yet.")
    if last is None or not last.heard.strip():
        return Answer("I have not heard anything yet.")
    return Answer(f"I heard: {last.heard.strip()}")


def volume_ability(volume: Callable[[], float], set_volume: Callable[[float], None]) -> Ability:
    """The volume of the voice, from 0 to 1, which `volume` returns and `set_volume` changes. As
    it is now, it is normal."""
    normal = volume()
    return Ability(
        name="volume",
        example="speak louder",
        sentences=VOLUME_SENTENCES,
        answer=lambda request: _volume_answer(request, volume, set_volume, normal),
        by_keywords=lambda request: volume_wanted(request.slots["text"], request.clauses),
        about=("volume", "louder", "quieter"),
    )


def _volume_answer(
    request: Request,
    volume: Callable[[], float],
    set_volume: Callable[[float], None],
    normal: float,
) -> Answer | None:
    now = volume()
    match request.intent:
        case "ask":
            return Answer(f"The volume is at {_percent(now)} percent.")
        case "up":
            wanted = min(1.0, now + STEP)
            told = "That is as loud as I can." if now >= 1.0 else "Is this better?"
        case "down":
            wanted = max(_LEAST, now - STEP)
            told = "That is as quiet as I can." if now <= _LEAST else "Is this better?"
        case "least":
            wanted, told = _LEAST, "I speak as quietly as I can now."
        case "level":
            levels = {**_LEVELS, "normal": normal, "usual": normal, "default": normal}
            named = levels.get(request.slots["level"].split()[-1])
            if named is None:
                return None
            wanted, told = named, f"The volume is at {_percent(named)} percent."
        case "full":
            wanted, told = 1.0, "The volume is at 100 percent."
        case _:
            said = request.slots["percent"].replace("%", "").removesuffix("percent").strip()
            if not said.isdigit() or int(said) > 100:
                return None
            count = (
                int(said) * 10
                if int(said) <= 10 and "%" not in request.slots["percent"]
                else int(said)
            )
            wanted = max(_LEAST, count / 100)
            told = f"The volume is at {_percent(wanted)} percent."
    return Answer(told, lambda: set_volume(wanted), lambda: set_volume(now))


def _percent(volume: float) -> int:
    return round(100 * volume)
