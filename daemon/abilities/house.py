"""Lights, heating and whatever else Home Assistant reaches: understood by gazetteer-matcher, which
reads misheard names and refuses rather than guesses, and carried out by Home Assistant."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gazetteer_matcher import GazetteerMatcher, TargetReference
from gazetteer_matcher.models import FrameCandidate

from ..alarms.spoken_times import joined_words
from ..house.client import HomeAssistant, said_in
from ..house.home import Home
from .ability import Ability, Answer, Intent

_OWN = (
    "Timer",
    "ShoppingList",
    "ListAddItem",
    "ListComplete",
    "ListRemove",
    "CurrentDate",
    "CurrentTime",
    "Nevermind",
    "Respond",
    "Broadcast",
)
"""Parts of the names of intents that other abilities answer."""
_BY_SENTENCE = ("HassGetWeather", "HassClimateGetTemperature", "HassGetTemperature")
_MOST_STATES = 12
_DONE_TO = {
    ("HassTurnOn", "lock"): "locked",
    ("HassTurnOff", "lock"): "unlocked",
    ("HassTurnOn", "cover"): "open",
    ("HassTurnOff", "cover"): "closed",
    ("HassOpenCover", "cover"): "open",
    ("HassCloseCover", "cover"): "closed",
    ("HassTurnOn", "valve"): "open",
    ("HassTurnOff", "valve"): "closed",
    ("HassTurnOn", "scene"): "set",
    ("HassTurnOn", "script"): "started",
}
_DONE = {"HassTurnOn": "on", "HassTurnOff": "off", "HassToggle": "switched"}
_MEDIA = {
    "HassMediaPause": "paused",
    "HassMediaUnpause": "playing again",
    "HassMediaNext": "at the next one",
    "HassMediaPrevious": "at the one before",
    "HassMediaPlayerMute": "muted",
    "HassMediaPlayerUnmute": "not muted any more",
    "HassVacuumStart": "started",
    "HassVacuumReturnToBase": "on its way back",
    "HassLawnMowerStartMowing": "started",
    "HassLawnMowerDock": "on its way back",
    "HassStopMoving": "stopped",
}
_OPENINGS = ("garage", "gate", "door")
_PLURALS = {
    "light": "lights",
    "switch": "switches",
    "cover": "covers",
    "fan": "fans",
    "lock": "locks",
    "media_player": "players",
    "climate": "thermostats",
}


@dataclass
class House:
    """A Home Assistant, and what is in it."""

    assistant: HomeAssistant
    home: Home = field(default_factory=Home)
    _matcher: GazetteerMatcher = field(
        default_factory=lambda: GazetteerMatcher(home=Home().gazetteer())
    )
    _before: Sequence[TargetReference] = ()
    """What was spoken of last."""

    def use(self, home: Home) -> None:
        """Understand what is in `home` from now on."""
        self._matcher.set_home(home.gazetteer())
        self.home = home

    def reads(self, text: str) -> Answer | None:
        """Return the answer to `text`; None if it is about nothing in the house."""
        found = self._matcher.interpret(text, previous_targets=self._before)
        if not found.accepted:
            # It knows what is meant, and not what is to be done: Home Assistant may.
            if found.refusal_target is not None and found.response:
                return Answer("", lambda: self._process(text) or str(found.response), grave=True)
            return None
        frames = found.frames
        if any(part in frame.intent for frame in frames for part in _OWN):
            return None
        if any(frame.intent in _BY_SENTENCE for frame in frames):
            return Answer(
                "", lambda: self._process(text) or "The house does not say.", changes=False
            )
        targets = found.targets
        if all(frame.intent == "HassGetState" for frame in frames):
            return Answer("", lambda: self._tell(frames, targets), changes=False)
        act = Answer(
            joined_sentences([self._done(frame) for frame in frames]),
            lambda: self._carry_out(frames, targets),
            grave=True,
        )
        doubtful = [self._opening(frame) for frame in frames]
        if asked := next(filter(None, doubtful), None):
            return Answer(asked, if_yes=act)
        return act

    def hands_over(self, text: str) -> Sequence[Intent]:
        """Return what Home Assistant carries out itself, if it is the client."""
        found = self._matcher.interpret(text, previous_targets=self._before)
        if not found.accepted or any(part in one.intent for one in found.frames for part in _OWN):
            return ()
        return [Intent(one.intent, one.slots) for one in found.frames]

    def _tell(self, frames: Sequence[FrameCandidate], targets: Sequence[TargetReference]) -> str:
        self._before = targets
        return " ".join(self._state(frame) for frame in frames)

    def _carry_out(
        self, frames: Sequence[FrameCandidate], targets: Sequence[TargetReference]
    ) -> str | None:
        self._before = targets
        failed: list[str] = []
        for frame in frames:
            response = self.assistant.handle(frame.intent, frame.slots)
            if response.get("response_type") == "error":
                return said_in(response) or "Home Assistant could not do that."
            data = response.get("data") or {}
            failed += [str(one.get("name")) for one in data.get("failed") or ()]
        return f"{joined_words(failed)} did not answer." if failed else None

    def _process(self, text: str) -> str:
        """What Home Assistant's own sentences make of `text`; empty if they do not know it."""
        response = self.assistant.process(text)
        return "" if response.get("response_type") == "error" else said_in(response)

    def _state(self, frame: FrameCandidate) -> str:
        """Tell the state that was asked for."""
        slots = frame.slots
        wanted = slots.get("state")
        if "name" in slots:
            entity = str(slots["name"])
            state = self.assistant.state(entity)
            told = f"{self.home.name_of(entity)} is {said_state(state)}."
            if wanted is None:
                return told
            return f"{'Yes' if state.get('state') == wanted else 'No'}, {told}"
        chosen = [
            one
            for one in self.home.entities
            if slots.get("domain") in (None, one.domain)
            and slots.get("area") in (None, one.area)
            and slots.get("device_class") in (None, one.device_class)
        ][:_MOST_STATES]
        states = {one.name: self.assistant.state(one.id) for one in chosen}
        if wanted is None:
            all_told = [f"{name} is {said_state(state)}" for name, state in states.items()]
            nothing = "There is nothing like that in the house."
            return f"{joined_words(all_told)}." if all_told else nothing
        named = [name for name, state in states.items() if state.get("state") == wanted]
        if not named:
            return f"Nothing of that is {wanted}."
        return f"{joined_words(named)} {'is' if len(named) == 1 else 'are'} {wanted}."

    def _done(self, frame: FrameCandidate) -> str:
        """Tell what is done by a frame, in one sentence."""
        what = self._target(frame)
        slots, intent = frame.slots, frame.intent
        domain = self._domain(frame)
        several = what.endswith("s") and not what.endswith("ss")
        is_ = "are" if several or ("name" not in slots and "domain" in slots) else "is"
        if "temperature" in slots:
            return f"{what} {is_} set to {slots['temperature']} degrees."
        if "brightness" in slots:
            return f"{what} {is_} at {slots['brightness']} percent."
        if "color" in slots:
            return f"{what} {is_} {slots['color']}."
        if "volume_level" in slots or "position" in slots or "percentage" in slots:
            level = slots.get("volume_level", slots.get("position", slots.get("percentage")))
            return f"{what} {is_} at {level} percent."
        if intent in _MEDIA:
            return f"{what} {is_} {_MEDIA[intent]}."
        done = _DONE_TO.get((intent, domain)) or _DONE.get(intent)
        return f"{what} {is_} {done}." if done else "I have done it."

    def _target(self, frame: FrameCandidate) -> str:
        slots = frame.slots
        if "name" in slots:
            return self.home.name_of(str(slots["name"]))
        what = _PLURALS.get(str(slots.get("domain")), "devices")
        place = slots.get("area") or slots.get("floor")
        if place is None:
            return f"All {what}" if "domain" in slots else "The house"
        return f"The {what} in {self.home.name_of(str(place))}"

    def _domain(self, frame: FrameCandidate) -> str:
        name = frame.slots.get("name")
        return str(name).partition(".")[0] if name else str(frame.slots.get("domain", ""))

    def _opening(self, frame: FrameCandidate) -> str | None:
        """A question, where a frame opens the house to others."""
        name = str(frame.slots.get("name", ""))
        entity = self.home.entity(name)
        kind = entity.device_class if entity is not None else frame.slots.get("device_class")
        unlocks = self._domain(frame) == "lock" and frame.intent in ("HassTurnOff", "HassUnlock")
        opens = (
            self._domain(frame) == "cover"
            and kind in _OPENINGS
            and frame.intent in ("HassTurnOn", "HassOpenCover", "HassSetPosition")
        )
        if not unlocks and not opens:
            return None
        return f"Shall I {'unlock' if unlocks else 'open'} {self._target(frame)}?"


def house_ability(house: House) -> Ability:
    """What is in `house`."""
    return Ability(
        name="house",
        example="turn on the kitchen light",
        sentences={},
        answer=lambda request: None,
        reads=house.reads,
        hands_over=lambda request: house.hands_over(request.slots["text"]),
        words=lambda: house.home.names,
        about=("light", "lights", "lamp", "thermostat", "heating", "blinds"),
    )


def said_state(state: Mapping[str, Any]) -> str:
    """Say a state: "on", "21.5 °C", "not available"."""
    value = str(state.get("state", "unknown"))
    attributes = state.get("attributes") or {}
    if value == "unavailable":
        return "not available"
    unit = attributes.get("unit_of_measurement")
    if unit:
        return f"{value} {unit}" if unit != "%" else f"{value} percent"
    temperature = attributes.get("current_temperature")
    if temperature is not None:
        wanted = attributes.get("temperature")
        return f"at {temperature} degrees" + (f", set to {wanted}" if wanted is not None else "")
    return value.replace("_", " ")


def joined_sentences(sentences: Sequence[str]) -> str:
    """Join sentences, each once."""
    return " ".join(dict.fromkeys(sentences))
