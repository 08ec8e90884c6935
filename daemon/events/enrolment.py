"""What happens to recordings that are enrolled, and to corrections."""

from typing import Literal

from .event import Event


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
    """Whether its text is new."""


class BadRow(Event):
    """One row is not stored."""

    event: Literal["bad_row"] = "bad_row"
    row: int
    problem: str


class EnrolledAll(Event):
    """The last event of an enrolment: its totals."""

    event: Literal["enrolled_all"] = "enrolled_all"
    enrolled: int
    """Recordings; one that came twice counts once."""
    bad: int
    seconds: float
    """Length of the enrolled recordings."""
    new: int


class Corrected(Event):
    """A turn got the words that were really said."""

    event: Literal["corrected"] = "corrected"
    turn: int
    utterance: str
    heard: str
    text: str
