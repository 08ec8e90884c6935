"""Makes the voice louder or softer."""

from collections.abc import Callable

from .ability import Ability, Answer, Request
from .keywords.itself import volume_wanted

STEP = 0.15
_LEAST = 0.05
SENTENCES = {
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
    "full": ("([set|turn|put] [<the>] (volume|sound) [up] to (full|maximum|max)|full volume)",),
    "ask": (
        "(what is|how loud is) [<the>] [current] (volume|volume level) [now|set to]",
        "how loud are you",
    ),
}


def volume_ability(volume: Callable[[], float], set_volume: Callable[[float], None]) -> Ability:
    """The volume of the voice, from 0 to 1, which `volume` returns and `set_volume` changes."""
    return Ability(
        name="volume",
        example="speak louder",
        sentences=SENTENCES,
        answer=lambda request: _answer(request, volume, set_volume),
        by_keywords=lambda request: volume_wanted(request.slots["text"]),
        about=("volume", "louder", "quieter"),
    )


def _answer(
    request: Request, volume: Callable[[], float], set_volume: Callable[[float], None]
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
