"""The events of enrolments and corrections."""

from typing import Literal

from pydantic import Field

from .event import Event, is_empty


class Enrolling(Event):
    """The daemon is ready for the rows of an enrolment."""

    event: Literal["enrolling"] = "enrolling"


class Enrolled(Event):
    """One row is stored."""

    event: Literal["enrolled"] = "enrolled"
    row: int
    utterance: str
    seconds: float
    new: bool
    """Whether the recording's text is new."""


class BadRow(Event):
    """One row is not stored."""

    event: Literal["bad_row"] = "bad_row"
    row: int
    problem: str


class EnrolledAll(Event):
    """The last event of an enrolment: its totals."""

    event: Literal["enrolled_all"] = "enrolled_all"
    enrolled: int
    """Number of enrolled recordings; one that came twice counts once."""
    bad: int
    seconds: float
    """Total length of the enrolled recordings."""
    new: int
    user: str = Field("", exclude_if=is_empty)
    """Whose they are, if there are several users."""


class Corrected(Event):
    """A turn was corrected: its label is now what was really said."""

    event: Literal["corrected"] = "corrected"
    turn: int
    utterance: str
    heard: str
    text: str
