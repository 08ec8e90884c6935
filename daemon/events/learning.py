"""The events of rounds, of generations, and of the encoder's engine."""

from typing import Literal

from pydantic import ConfigDict, Field

from ..store.records import RoundOutcome
from .event import Event, EventPart, is_empty

AdaptationState = Literal["waiting", "training", "paused", "judging", "stopped"]


class AdaptationStatus(EventPart):
    """What adaptation is doing, and how its last round ended."""

    state: AdaptationState = "waiting"
    stage: str = ""
    """Stage of the running round; empty if none runs."""
    fraction: float = 0.0
    """Share of the stage that is done, 0 to 1."""
    note: str = ""
    """What the stage is doing, or why no round runs."""
    number: int | None = None
    """The generation that the round is to write."""
    round_started_at: float | None = None
    """When the running round, or else the last one, began, in seconds since the epoch."""
    last_outcome: RoundOutcome | None = None
    last_reason: str = ""
    consecutive_failures: int = 0
    pauses: int = 0
    """How many times speech stopped training since the daemon started."""
    pause_latency_ms: float | None = None
    """99th percentile of the milliseconds from the onset of speech until training stood still."""
    budget_bytes: int | None = None
    """Memory that Attune was allowed to use in the last round."""
    predicted_bytes: int | None = None
    most_used_bytes: int | None = None


class AdaptationChanged(Event, AdaptationStatus):
    """The state or the progress of adaptation changed."""

    event: Literal["adaptation"] = "adaptation"
    outcome: RoundOutcome | None = Field(None, exclude_if=is_empty)
    """How a round, or a request for one that could not be met, has just ended; None otherwise."""


class PlannedStage(EventPart):
    """One process of a planned round."""

    name: str
    predicted_bytes: int
    peak_bytes: int
    seconds: float


class RoundPlanned(Event):
    """The answer to `attune adapt --plan`: the memory and time that a round would need now."""

    model_config = ConfigDict(validate_by_name=True)

    event: Literal["plan"] = "plan"
    predicted_bytes: int
    peak_bytes: int
    stages: tuple[PlannedStage, ...]
    budget_bytes: int
    micro_batches: int = Field(alias="parts")
    """Number of micro-batches in which a training step is computed."""
    unloads: bool
    measured_here: bool
    refusal: str


class ServingChanged(Event):
    """Another generation, or another route, is served from now on."""

    event: Literal["serving"] = "serving"
    generation: int | None
    route: str
    warning: str = ""
    """Why Attune would not have chosen the generation by itself; empty if it would."""


class RolledBack(Event):
    """The served generation turned out worse, and the one before it is served again."""

    event: Literal["rolled_back"] = "rolled_back"
    generation: int
    """The generation that is served now."""
    reason: str


class ShadowEnded(Event):
    """A generation left the shadow."""

    event: Literal["shadow_ended"] = "shadow_ended"
    generation: int
    outcome: RoundOutcome
    reason: str


class EncoderChanged(Event):
    """The engine of the speech encoder was built, tried or given up."""

    event: Literal["encoder"] = "encoder"
    by_plan: bool
    """Whether a TensorRT plan runs the encoder now."""
    why: str
