"""The events of the personal vocabulary."""

from typing import Literal

from .event import Event, EventPart


class ListedPhrase(EventPart):
    """A phrase that the user expects to be heard."""

    text: str
    weight: float
    heard_as: tuple[str, ...] = ()
    """What was heard in recordings of it."""


class VocabularyListed(Event):
    """The whole vocabulary, after what was asked."""

    event: Literal["vocabulary"] = "vocabulary"
    phrases: tuple[ListedPhrase, ...]
    added: int = 0
    removed: int = 0
