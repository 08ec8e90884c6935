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
class ShadowReading:
    """One turn, heard by the served generation and in its shadow."""

    turn: int
    heard: str
    reply: str
    sure: bool | None
    """Whether what was served left no doubt; None on the cascade, which does not say."""
    label: str | None
    """What a person said was meant; None where nobody did."""
    shadow_heard: str
    shadow_reply: str | None
    """None where the same was heard."""

    @property
    def meant(self) -> str | None:
        """What was said, as far as it is known."""
        return self.label if self.label is not None else self.heard if self.sure else None


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
