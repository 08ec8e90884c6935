"""The events of what is said aloud, and the state of the voice."""

from typing import Literal

from pydantic import Field

from .event import Event, EventPart, is_empty
from .turns import TurnEvent


class ReplySaid(TurnEvent):
    """The reply to a spoken turn was said aloud, to its end or until it was stopped."""

    event: Literal["said"] = "said"
    seconds: float
    """Length of what was said."""
    first_sound_ms: float | None
    """Milliseconds from the end of speech to the first sound of the reply; None if nothing
    sounded."""
    stopped: bool
    problem: str = Field("", exclude_if=is_empty)
    """Why it was not said; empty if it was."""


class TextSaid(Event):
    """A text was said aloud for a client, to its end or until it was stopped."""

    event: Literal["text_said"] = "text_said"
    seconds: float
    """Length of what was said; 0 if nothing in the text can be said."""
    first_sound_ms: float | None
    """Milliseconds from the request to the first sound; None if nothing sounded."""
    stopped: bool


class Silenced(Event):
    """The answer to `attune stop`."""

    event: Literal["silenced"] = "silenced"
    was_speaking: bool


class SpeakingStatus(EventPart):
    """The voice and the loudspeaker."""

    voice: str
    """The voice that is open, or that the settings name; `none` if replies are only written."""
    loudspeaker: str = ""
    speaking: bool = False
    problem: str = Field("", exclude_if=is_empty)
    """Why nothing can be heard; empty while that is not known to be so."""
