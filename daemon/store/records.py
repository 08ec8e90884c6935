"""The values that the store keeps. Knows no database."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

FIRST_USER = 1
"""The user who is there from the beginning."""
STRANGERS = "user IS NULL AND coalesce(user_by, '') IN ('voice', 'hand')"
"""The condition, in SQL, for utterances that are the voice of nobody who uses Attune."""
KnownBy = Literal["enrolled", "hand", "voice", "unclear"]
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
class Spoken:
    """Whose voice an utterance is."""

    utterance: str
    user: int | None
    """None for somebody else's voice, and if it is not known."""
    by: KnownBy
    """How it is known. `unclear`: it is not."""
    confidence: float | None
    """Probability, 0 to 1, that it is the user's, or that of the user whose voice is likest; None
    if there was nothing to tell by."""


@dataclass(frozen=True)
class Turn:
    utterance: str | None
    """Id of the turn's audio; None for a typed turn, and if audio is not kept."""
    route: str
    """`cascade`, `aligned`, or `text`."""
    heard: str
    reply: str
    first_token_ms: float | None
    """Milliseconds from the end of speech to the first piece of the reply; None if there was no
    reply."""
    reply_ms: float
    generation: int | None
    created_at: float
    sure: bool | None = None
    """Whether the words were sure; None if the turn was typed, or nothing says how sure."""
    id: int = 0
    """Number of the turn, given by the store."""
    served: int = FIRST_USER
    """The user who was served."""


@dataclass(frozen=True)
class Round:
    started_at: float
    ended_at: float
    generation: int | None
    outcome: RoundOutcome
    reason: str
    labels: int
    """`Counts.last_label` when the round began."""
    user: int = FIRST_USER
    """Whose round it was."""


@dataclass(frozen=True)
class Use:
    """The number of spoken turns, and how many of them the user corrected."""

    turns: int
    corrected: int


@dataclass(frozen=True)
class ShadowReading:
    """One turn, as the served generation heard it and as the one in shadow did."""

    turn: int
    heard: str
    reply: str
    sure: bool | None
    """Whether the served generation was sure; None where nothing says how sure."""
    label: str | None
    """The text that the user confirmed; None if there is none."""
    shadow_heard: str
    shadow_reply: str | None
    """The reply that the generation in shadow led to; None if it heard the same words."""

    @property
    def meant(self) -> str | None:
        """The words of the turn: the confirmed text, or else words that the served generation was
        sure of; None if they are not known."""
        return self.label if self.label is not None else self.heard if self.sure else None


@dataclass(frozen=True)
class Move:
    """Another generation became current."""

    at: float
    """Seconds since the epoch."""
    generation: int
    reason: str
    user: int = FIRST_USER
    """For whom."""


@dataclass(frozen=True)
class Counts:
    utterances: int
    seconds: float
    labels_by_origin: dict[str, int]
    """Number of utterances by the origin of the label that they would be trained on."""
    unlabelled: int
    turns: int
    rounds: int
    new_labels: int
    """Number of utterances of the user labelled since their last finished round began."""
    to_label: int
    """Number of utterances of the user without a label."""
    last_label: int
