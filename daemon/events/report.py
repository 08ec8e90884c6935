"""What is told of a generation: how it was made, how it was judged, how the last round ended."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from engines.generations.card import JudgedUtterance, Score

from ..store.records import Move, RoundOutcome, ShadowReading
from .event import Event


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Made(_Part):
    """How a generation was made; the fields are those of its card."""

    created_at: str
    recipe: str
    examples: dict[str, int]
    """Utterances by the origin of their label."""
    minutes_of_audio: float
    steps: int
    skipped_steps: int
    processor_seconds: float | None
    wall_seconds: float
    peak_bytes: int
    replies: dict[str, float]


class LabelledUtterance(_Part):
    id: str
    text: str
    """Of its label."""


class Scores(_Part):
    """How three ways of hearing did on one set of utterances."""

    candidate: Score
    current: Score
    cascade: Score


class ChangedUtterance(JudgedUtterance):
    """An utterance that the generation hears otherwise than the one before it."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    text: str
    """Of its label."""


class GenerationReport(_Part):
    """Why a generation is what it is."""

    generation: int
    parent: int | None
    verdict: str
    made: Made
    labels_left_out: dict[str, int]
    """Labels that were neither trained on nor judged by, by the reason."""
    doubted: tuple[LabelledUtterance, ...]
    """The first of those that do not fit their recordings."""
    scores: dict[str, Scores]
    """By the name of the set: `holdout`, `recognised`, `general`."""
    changed: dict[str, tuple[ChangedUtterance, ...]]
    """By the same names; those that got worse first."""


class LastRound(_Part):
    """How the last round ended."""

    ended_at: float
    """Seconds since the epoch."""
    outcome: RoundOutcome
    reason: str


class ShadowReport(_Part):
    """What a generation heard in shadow."""

    turns: int
    otherwise: tuple[ShadowReading, ...]
    """The last turns that it heard otherwise than the generation that was served."""


class Why(Event):
    """The answer to `attune why`."""

    event: Literal["why"] = "why"
    round: LastRound | None = None
    generation: GenerationReport | None = None
    shadow: ShadowReport | None = None
    problem: str = ""
    """Why the report on the generation is missing; empty where it is not."""
    moves: tuple[Move, ...] = ()
    """The last times that another generation came to be served."""
