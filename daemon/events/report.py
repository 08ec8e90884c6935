"""The answer to `attune why`: how a generation was made and judged, how the last round ended."""

from typing import Literal

from pydantic import ConfigDict

from engines.generations.card import JudgedUtterance, Score

from ..store.records import Move, RoundOutcome, ShadowReading
from .event import Event, EventPart


class Made(EventPart):
    """How a generation was made; the fields are those of its card."""

    created_at: str
    recipe: str
    examples: dict[str, int]
    """Number of utterances by the origin of their label."""
    minutes_of_audio: float
    steps: int
    skipped_steps: int
    processor_seconds: float | None
    wall_seconds: float
    peak_bytes: int
    replies: dict[str, float]


class LabelledUtterance(EventPart):
    id: str
    text: str
    """The text of the utterance's label."""


class Scores(EventPart):
    """The scores of candidate, current generation and cascade on one set of utterances."""

    candidate: Score
    current: Score
    cascade: Score
    recogniser: Score | None = None
    """The score of the candidate's recogniser on the cascade; None if it has none."""
    current_recogniser: Score | None = None


class ChangedUtterance(JudgedUtterance):
    """An utterance that the generation hears differently from the one before it."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    text: str
    """The text of the utterance's label."""


class GenerationReport(EventPart):
    """How a generation was made and judged."""

    generation: int
    parent: int | None
    verdict: str
    made: Made
    labels_left_out: dict[str, int]
    """Number of labels that were neither trained on nor judged by, for each reason."""
    doubted: tuple[LabelledUtterance, ...]
    """The first labels that do not fit their recordings."""
    scores: dict[str, Scores]
    """The scores on each set: `holdout`, `recognised`, `general`."""
    changed: dict[str, tuple[ChangedUtterance, ...]]
    """The utterances of each set that are heard differently; those that got worse come first."""
    recogniser: str = ""
    """What became of the recogniser that its round trained; empty if none was trained."""
    projector: str = ""
    """Why it keeps the projector of the generation before it; empty if it has its own."""
    doubts: str = ""
    """When the cascade through its recogniser asks back, and whether it writes labels; empty if
    nothing was fitted."""


class LastRound(EventPart):
    """How the last round ended."""

    ended_at: float
    """When the round ended, in seconds since the epoch."""
    outcome: RoundOutcome
    reason: str


class ShadowReport(EventPart):
    """What a generation heard in shadow."""

    turns: int
    otherwise: tuple[ShadowReading, ...]
    """The last turns that it heard differently from the served generation."""


class Why(Event):
    """The answer to `attune why`."""

    event: Literal["why"] = "why"
    round: LastRound | None = None
    generation: GenerationReport | None = None
    shadow: ShadowReport | None = None
    problem: str = ""
    """Why the report on the generation is missing; empty if it is not."""
    moves: tuple[Move, ...] = ()
    """The last times that another generation became current."""
    end_of_turn: str = ""
    """How long a silence ends a turn, and why."""
