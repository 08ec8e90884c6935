"""The events with which the daemon tells of itself: its status, its metrics, its reloads."""

from typing import Literal

from pydantic import Field

from ..listening.status import ListenerStatus
from ..store.records import Counts, Turn
from .event import Event, EventPart, is_empty
from .learning import AdaptationStatus
from .privacy import KeepingStatus
from .speaking import SpeakingStatus
from .wake import WakeStatus


class LabelsLeftOut(EventPart):
    """Labels that no round learns from, because they cannot be true."""

    count: int
    reasons: dict[str, int]
    """Number of labels for each reason."""
    utterances: dict[str, str]
    """The reason for each utterance; only the first utterances if there are many."""


class ShadowStatus(EventPart):
    """The generation that runs in shadow."""

    generation: int | None
    """Number of the generation; None if it is damaged."""
    turns: int = 0
    """Number of turns that it has heard."""
    of: int = 0
    """Number of turns after which it is decided on."""
    otherwise: int = 0
    """Number of turns that it heard differently from the served generation."""
    problem: str = Field("", exclude_if=is_empty)


class Status(Event):
    """The answer to `attune status`."""

    event: Literal["status"] = "status"
    version: str
    process: int
    uptime_seconds: float
    state_dir: str
    route: str
    """The route that hears speech: `cascade` or `aligned`."""
    route_reason: str
    routes: tuple[str, ...]
    """The routes that are open now."""
    unloaded: bool
    """Whether the models are closed, for a round that needs their memory."""
    encoder: str
    """What runs the speech encoder, and where; empty while the models are closed."""
    generation: int | None
    """The generation that is served; None if there is only the cascade."""
    settings_problem: str
    """Why the settings in the files are not those in use; empty if they are."""
    problems: tuple[str, ...]
    listening: ListenerStatus
    user: str = ""
    """Who is served, if there are several users."""
    mode: str = "assistant"
    """What is done with what is heard: `assistant`, `repeat` or `dictate`."""
    end_of_turn: str = ""
    """How long a silence ends a turn, and why."""
    alarms: tuple[str, ...] = ()
    """Every timer, alarm and reminder, for people."""
    keeping: KeepingStatus
    tools: str = ""
    """Which tools the language model may call and why, for people; empty if there are none."""
    wake: WakeStatus = WakeStatus()
    speaking: SpeakingStatus = SpeakingStatus(voice="none")
    attentive: bool
    """Whether a user speaks or waits for a reply."""
    quiet_seconds: float
    counts: Counts
    labels_left_out: LabelsLeftOut
    adaptation: AdaptationStatus
    shadow: ShadowStatus | None
    last_turns: tuple[Turn, ...]


class MetricsText(Event):
    """The answer to `attune metrics`: metrics in Prometheus' text format."""

    event: Literal["metrics"] = "metrics"
    text: str


class Following(Event):
    """The client gets every event from now on."""

    event: Literal["following"] = "following"


class Reloading(Event):
    """The settings are about to be read again."""

    event: Literal["reloading"] = "reloading"
