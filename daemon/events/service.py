"""What the daemon tells of itself."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from ..listening.status import ListenerStatus
from ..store.records import Counts, Turn
from .event import Event, is_empty
from .learning import AdaptationStatus


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class LabelsLeftOut(_Part):
    """Labels that no round learns from, because they cannot be true."""

    count: int = 0
    reasons: dict[str, int] = {}
    """How many for each reason."""
    utterances: dict[str, str] = {}
    """The reason for each utterance; of many the first."""


class ShadowStatus(_Part):
    """The generation that runs in shadow."""

    generation: int | None
    """None where it is damaged."""
    turns: int = 0
    """Turns that it heard so far."""
    of: int = 0
    """Turns after which it is decided."""
    otherwise: int = 0
    """Turns that it heard otherwise than the generation that is served."""
    problem: str = Field("", exclude_if=is_empty)


class Status(Event):
    """The answer to `attune status`."""

    event: Literal["status"] = "status"
    version: str
    process: int
    uptime_seconds: float
    state_dir: str
    route: str
    """What speech is heard by: `cascade` or `aligned`."""
    route_reason: str
    routes: tuple[str, ...]
    """The routes that are open now."""
    unloaded: bool
    """Whether the models are closed, for a round that needs their memory."""
    encoder: str
    """What runs the speech encoder, and where; empty while the models are closed."""
    generation: int | None
    """The generation that is served; None on the cascade alone."""
    settings_problem: str
    """Why the settings as they are now are not those that are served; empty where they are."""
    problems: tuple[str, ...]
    listening: ListenerStatus
    attentive: bool
    """Whether somebody speaks, or waits for a reply."""
    quiet_seconds: float
    counts: Counts
    labels_left_out: LabelsLeftOut
    adaptation: AdaptationStatus
    shadow: ShadowStatus | None
    last_turns: tuple[Turn, ...]


class MetricsText(Event):
    """The answer to `attune metrics`: figures in Prometheus' text format."""

    event: Literal["metrics"] = "metrics"
    text: str


class Following(Event):
    """The client gets every event from now on."""

    event: Literal["following"] = "following"


class Reloading(Event):
    """The settings are about to be read again."""

    event: Literal["reloading"] = "reloading"
