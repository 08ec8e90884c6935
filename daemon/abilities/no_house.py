"""Lights, heating and blinds where no Home Assistant is set up: if it is the client, it carries out
what it is asked for; else Attune says that it cannot."""

from collections.abc import Mapping, Sequence

from .ability import Ability, Answer, Intent, Request
from .keywords.finding import has

_LAMP = "(light|lights|lamp|lamps)"
_DEVICE = "(light|lights|lamp|lamps|heating|heater|fan|tv|television|plug|switch)"
_DO = "(turn|switch|put)"
SENTENCES = {
    "on": (
        f"{_DO} on [<the>] {{name}}",
        f"{_DO} [<the>] {{name}} on",
        f"{_DO} on [<the>] lights in [<the>] {{area}}",
        f"{_DO} [<the>] lights on in [<the>] {{area}}",
        "lights on",
        "lights on in [<the>] {area}",
        "{area} lights on",
    ),
    "off": (
        f"{_DO} off [<the>] {{name}}",
        f"{_DO} [<the>] {{name}} off",
        f"{_DO} off [<the>] lights in [<the>] {{area}}",
        f"{_DO} [<the>] lights off in [<the>] {{area}}",
        "lights off",
        "lights off in [<the>] {area}",
        "{area} lights off",
    ),
    "brightness": (
        "(set|dim|turn|put|brighten) [down|up] [<the>] {name} to {percent} [percent|%]",
    ),
    "temperature": (
        "(set|turn|put) [up|down] [<the>] (heating|temperature|thermostat|heat) to {degrees}"
        " [degrees]",
        "(set|heat|cool) [<the>] {area} to {degrees} degrees [celsius|fahrenheit]",
    ),
    "open": ("open [<the>] {cover}",),
    "close": ("(close|shut) [<the>] {cover}",),
    "other": (
        f"(dim|brighten) [<the>] [{{name}}] {_LAMP}",
        "(lock|unlock) [<the>] [{name}] door",
        "(what is|how is) [<the>] temperature [in|inside|outside] [<the>] [{area}]",
        "how (warm|cold|hot) is it [in|inside|outside] [<the>] [{area}]",
        f"(is|are) [<the>] [{{name}}] {_DEVICE} (on|off)",
        "(is|are) [<the>] [{name}] (door|window|windows|blinds|curtains) (open|closed|locked|shut)",
        "make it (warmer|colder|cooler|brighter|darker)",
        "it is too (warm|cold|hot|bright|dark) [in here|in [<the>] {area}]",
        "i am (cold|freezing|hot|too hot|too cold)",
        "turn (up|down) [<the>] (heating|heat|thermostat|temperature|lights|light)",
        "turn [<the>] (heating|heat|thermostat|temperature|lights|light) (up|down)",
    ),
}
_THINGS = (
    "lights?|lamps?|heating|heater|radiators?|thermostat|blinds?|curtains?|shutters?|fan|tv"
    "|television|telly|front door|back door|garage|air conditioning|air con|plug|bulbs?"
)
_DOINGS = (
    "on|off|up|down|open|close|shut|dim|brighten|lock|unlock|locked|warmer|cooler|lower|raise|draw"
    "|turn|switch|put|set|brighter|darker"
)
_COVERS = (
    "blind",
    "blinds",
    "curtain",
    "curtains",
    "shutter",
    "shutters",
    "window",
    "windows",
    "garage",
    "gate",
    "door",
    "garage door",
    "awning",
    "cover",
    "covers",
)
_DEVICES = frozenset(
    "light lights lamp lamps heating heater fan tv television plug switch"
    " kettle lantern bulb chandelier spotlight spotlights".split()
)


def no_house_ability() -> Ability:
    """What is asked of a house that Attune does not reach."""
    return Ability(
        name="house",
        example="what time is it",
        sentences=SENTENCES,
        answer=_answer,
        hands_over=house_intents,
        by_keywords=lambda request: house_wanted(request.slots["text"]),
        about=("thermostat", "the heating", "the blinds", "the lights"),
    )


def house_wanted(text: str) -> tuple[str, dict[str, str]] | None:
    """Whether `text` is about lights, heating or blinds, by single words; None if not."""
    if has(text, _THINGS) and has(text, _DOINGS):
        return "other", {}
    return None


def _answer(request: Request) -> Answer | None:
    if not _is_of_a_house(request):
        return None
    return Answer("I cannot reach the house: no Home Assistant is set up.")


def _is_of_a_house(request: Request) -> bool:
    """Whether a sentence with free slots is about devices at all."""
    slots = request.slots
    if request.intent in ("open", "close"):
        return slots["cover"].split()[-1] in _COVERS
    if request.intent in ("on", "off", "brightness") and "name" in slots:
        return bool(_DEVICES & set(slots["name"].split()))
    return True


def house_intents(request: Request) -> Sequence[Intent]:
    """What Home Assistant carries out: it knows the names, and says so if it does not."""
    slots = request.slots
    match request.intent:
        case "on" | "off":
            intent = "HassTurnOn" if request.intent == "on" else "HassTurnOff"
            return (Intent(intent, _target(slots)),)
        case "brightness" if _percent(slots) is not None:
            return (Intent("HassLightSet", {**_target(slots), "brightness": _percent(slots)}),)
        case "temperature":
            degrees = slots["degrees"].removesuffix(" degrees")
            if degrees.replace(".", "", 1).isdigit():
                area = {"area": slots["area"]} if "area" in slots else {}
                wanted = {**area, "temperature": float(degrees)}
                return (Intent("HassClimateSetTemperature", wanted),)
        case "open" | "close" if _is_of_a_house(request):
            intent = "HassTurnOn" if request.intent == "open" else "HassTurnOff"
            return (Intent(intent, {"name": slots["cover"]}),)
    return ()


def _target(slots: Mapping[str, str]) -> dict[str, object]:
    if "name" in slots and slots["name"] not in ("lights", "light", "all lights", "all the lights"):
        return {"name": slots["name"]}
    area: dict[str, object] = {"area": slots["area"]} if "area" in slots else {}
    return {"domain": "light", **area}


def _percent(slots: Mapping[str, str]) -> int | None:
    said = slots["percent"].replace("%", "").removesuffix("percent").strip()
    return int(said) if said.isdigit() and int(said) <= 100 else None
