"""What an ability is: the sentences that it understands, and the function that answers them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True)
class LastTurn:
    """What was said before."""

    heard: str
    reply: str
    forget: Callable[[], None]
    """Removes the turn and its recording."""


@dataclass(frozen=True)
class Request:
    """A sentence that an ability has understood."""

    intent: str
    """The name under which the ability lists its sentence."""
    slots: Mapping[str, str]
    """What stands in the places of the sentence, such as `{item}`: small letters, numbers in
    digits."""
    now: datetime
    """The time where the user is, with its zone."""
    last: LastTurn | None = None
    """The turn before; None if there is none."""


@dataclass(frozen=True)
class Answer:
    """What an ability says, and does."""

    reply: str
    """One short sentence."""
    act: Callable[[], str | None] | None = None
    """Does what was asked for, once it is certain that the user has finished. It may return another
    reply, and raises AttuneError if it fails, whose text is said then. None if there is nothing to
    do."""
    undo: Callable[[], None] | None = None
    """Takes back what `act` did: the user had not finished after all. None if that cannot be."""
    completes: str = ""
    """For a question: the beginning of a sentence that the user's next words may complete."""


@dataclass(frozen=True)
class Ability:
    """Something that Attune can do."""

    name: str
    """One word in small letters."""
    example: str
    """A sentence that it understands, for "what can you do"."""
    sentences: Mapping[str, Sequence[str]]
    """Templates of hassil for each intent, in small letters and with numbers in digits: `(a|b)`,
    `[optional]`, `{slot}`. A slot holds any words unless `lists` names it."""
    answer: Callable[[Request], Answer | None]
    """Answers a request within a second or so. Returns None if the words in the slots make no
    sense: then the sentence is not understood."""
    lists: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """The words that a slot may hold."""
    about: Sequence[str] = ()
    """Words that nobody says unless they want this ability, such as `timer`: a sentence with one of
    them is never left to a language model."""
