"""What the store keeps, as values. Knows no database."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

RoundOutcome = Literal["promoted", "refused", "shadowed", "cancelled", "failed"]


@dataclass(frozen=True)
class Utterance:
    id: str
    created_at: float
    """Seconds since the epoch."""
    seconds: float
    source: str
    audio: Path
    holdout: bool


@dataclass(frozen=True)
class Turn:
    utterance: str | None
    """None for a typed turn, and where audio is not kept."""
    route: str
    """`cascade`, `aligned`, or `text`."""
    heard: str
    reply: str
    first_token_ms: float | None
    """From the end of speech to the first piece of the reply; None where there was no reply."""
    reply_ms: float
    generation: int | None
    created_at: float
    sure: bool | None = None
    """Whether the reading left no doubt; None where it was typed or the cascade heard it."""
    id: int = 0
    """Given by the store."""


@dataclass(frozen=True)
class Round:
    started_at: float
    ended_at: float
    generation: int | None
    outcome: RoundOutcome
    reason: str
    labels: int
    """`Counts.last_label` when it began."""


@dataclass(frozen=True)
class Use:
    """Spoken turns, and how many of them a person corrected."""

    turns: int
    corrected: int


@dataclass(frozen=True)
class Move:
    """Another generation came to be served."""

    at: float
    """Seconds since the epoch."""
    generation: int
    reason: str


@dataclass(frozen=True)
class Counts:
    utterances: int
    seconds: float
    labels_by_origin: dict[str, int]
    """Utterances by the origin of the label that they would be trained on."""
    unlabelled: int
    turns: int
    rounds: int
    new_labels: int
    """Utterances labelled since the last finished round began."""
    last_label: int
