"""The events about what is kept of the user, and what is forgotten."""

from typing import Literal

from pydantic import Field

from .event import Event, EventPart, is_empty


class KeepingStatus(EventPart):
    """Whether what is said is kept, to learn from it."""

    now: bool
    """Whether anything said now is stored."""
    agreed: bool | None
    """What the user decided last; None if nobody has decided."""
    by: str = Field("", exclude_if=is_empty)
    """How that was said."""
    since: float | None = None
    """When it was said, in seconds since the epoch."""
    recordings: bool = True
    """Whether the settings want recordings kept."""
    private_seconds: float = 0.0
    """The seconds for which nothing is kept, because the user wants it so; 0 if there are none."""


class Consented(Event):
    """The answer to `attune consent`."""

    event: Literal["consent"] = "consent"
    keeping: KeepingStatus


OTHER_VOICE = "another voice"


class KeptUtterance(EventPart):
    """One recording that is kept."""

    utterance: str
    """Its id."""
    created_at: float
    """Seconds since the epoch."""
    seconds: float
    source: str
    """`microphone`, `network`, `file`, `enrolled` or `recovered`."""
    text: str
    """Its label, or else what was heard; empty if neither is known."""
    origin: str
    """Where the label comes from; empty without one."""
    confidence: float | None = None
    """Probability, 0 to 1, that the label is right; None without one."""
    user: str = Field("", exclude_if=is_empty)
    """The user whose voice it is, or OTHER_VOICE; empty if that is not clear."""


class KeptListed(Event):
    """The answer to `attune data list`: the latest first."""

    event: Literal["kept"] = "kept"
    utterances: tuple[KeptUtterance, ...]
    more: int
    """The number of others that were not listed."""


class KeptLabelled(Event):
    """The user has said what one recording says."""

    event: Literal["kept_labelled"] = "kept_labelled"
    utterance: str
    text: str


class KeptPlayed(Event):
    """One recording is being played by the loudspeaker."""

    event: Literal["kept_played"] = "kept_played"
    utterance: str
    seconds: float


class KeysRotated(Event):
    """Everything that is stored is encrypted with a new key."""

    event: Literal["keys_rotated"] = "keys_rotated"
    files: int
    """The number of files that were encrypted again, the database among them."""


class ToBeForgotten(Event):
    """What would be forgotten."""

    event: Literal["to_be_forgotten"] = "to_be_forgotten"
    utterances: int
    seconds: float
    """Length of their sound."""
    turns: int
    others: int
    """Phrases of the vocabulary, timers, alarms, reminders, and things on lists."""
    generations: tuple[int, ...]
    """Those that would be withdrawn."""
    turn: int | None = Field(None, exclude_if=is_empty)
    """The turn that was named, if one was: the last one's number, too."""


class Forgotten(Event):
    """The receipt of what was forgotten."""

    event: Literal["forgotten"] = "forgotten"
    receipt: str
    """The signed receipt, as JSON."""
    number: int
    utterances: int
    seconds: float
    turns: int
    others: int
    withdrawn: tuple[int, ...]
    serves: int | None
    """The generation that serves now; None if there is none."""
