"""Checks hours of the day in the settings."""

import re
from typing import Annotated

from pydantic import AfterValidator


def hours_of(text: str) -> tuple[int, int] | None:
    """Return the two minutes of the day in a text such as "22:00-06:30"; None for an empty text.
    Raises ValueError for any other text."""
    if not text:
        return None
    found = re.fullmatch(r"([01]?\d|2[0-3]):([0-5]\d)-([01]?\d|2[0-3]):([0-5]\d)", text)
    if found is None or (found[1], found[2]) == (found[3], found[4]):
        raise ValueError(
            "give two different times of the day, as in 22:00-06:30, or nothing for any time"
        )
    first_hour, first_minute, last_hour, last_minute = map(int, found.groups())
    return 60 * first_hour + first_minute, 60 * last_hour + last_minute


def _checked_hours(text: str) -> str:
    hours_of(text)
    return text


Hours = Annotated[str, AfterValidator(_checked_hours)]
