"""The events about the people who use Attune."""

from typing import Literal

from pydantic import Field

from .event import Event, EventPart, is_empty


class UserStatus(EventPart):
    """What is known of one user."""

    name: str
    served: bool
    """Whether this user is served now."""
    enrolled: int
    """The number of recordings that the user enrolled, or that a person said are theirs."""
    by_voice: int
    """The number of other recordings that are theirs by the voice."""
    known_by_voice: bool
    """Whether so much is enrolled that the voice can be told from others."""
    generation: int | None
    """The generation that serves this user; None if there is none."""
    since: float
    """When the user came, in seconds since the epoch."""
    doubtful: tuple[str, ...] = Field((), exclude_if=is_empty)
    """Enrolled recordings that sound like somebody else."""


class UsersListed(Event):
    """The answer to `attune users`."""

    event: Literal["users"] = "users"
    users: tuple[UserStatus, ...]
    strangers: int
    """The number of recordings of other voices."""
    unclear: int
    """The number of recordings of which it is not clear whose voice they are."""
    not_looked_at: int
    """The number of recordings whose voice nothing has looked at yet."""
    by_voice: bool
    """Whether a voice that is known is served as its user."""


class UserServed(Event):
    """Somebody else is served from now on."""

    event: Literal["user"] = "user"
    name: str
    by: Literal["hand", "voice"]
    confidence: float | None = None
    """The probability, 0 to 1, that it is their voice; None if it was told by hand."""


class UtterancesMoved(Event):
    """Recordings are another user's from now on."""

    event: Literal["utterances_moved"] = "utterances_moved"
    name: str
    count: int
