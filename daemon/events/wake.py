"""The events of being called: by a wake word, or by a button."""

from typing import Literal

from pydantic import Field

from .event import Event, EventPart, is_empty


class Called(Event):
    """Somebody called: what is said next is for Attune."""

    event: Literal["called"] = "called"
    by: str
    """The wake word, `own` for the user's own phrase, or `button`."""


class CallEnded(Event):
    """Nothing is heard any more until somebody calls again."""

    event: Literal["call_ended"] = "call_ended"


class TakeAsked(Event):
    """The user is to say the phrase now."""

    event: Literal["take_asked"] = "take_asked"
    number: int
    """The number of the recording, from 1."""
    of: int


class TakeRefused(Event):
    """A recording of a phrase cannot be used, and is asked for again."""

    event: Literal["take_refused"] = "take_refused"
    number: int
    problem: str


class PhraseCompared(Event):
    """So much of other speech was compared with the phrase."""

    event: Literal["phrase_compared"] = "phrase_compared"
    recordings: int
    of: int


class PhraseLearnt(Event):
    """A phrase of the user's own was learnt from its recordings."""

    event: Literal["phrase_learnt"] = "phrase_learnt"
    text: str
    takes: int
    others_seconds: float
    """Other speech that it was compared with."""
    threshold: float
    """The distance up to which what is said is the phrase."""


class WakeStatus(EventPart):
    """What Attune listens for before it hears anything else."""

    word: str = "none"
    """The wake word, `own`, `button`, or `none`: everything is heard."""
    phrase: str = Field("", exclude_if=is_empty)
    """What the user calls the own phrase."""
    open: bool = True
    """Whether what is said now is heard."""
    problem: str = Field("", exclude_if=is_empty)
    """Why the wake word cannot be heard; a button can call all the same."""
