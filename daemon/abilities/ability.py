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
    """Lets nobody remember the turn, in the conversation or in the store."""
    turn: int | None = None
    """Its number in the store; None if it is not kept."""


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
    whole: str = ""
    """All that was said, if a template fits a part of it only: no question is asked back then."""
    clauses: Sequence[str] = ()
    """The clauses of the sentence, for `by_keywords`: people tell a story around what they want."""


@dataclass(frozen=True)
class Intent:
    """Something that Home Assistant can do, by its own name for it."""

    name: str
    """Such as `HassTurnOn`."""
    slots: Mapping[str, object] = field(default_factory=dict)


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
    intents: Sequence[Intent] = ()
    """What the client carries out, if that is Home Assistant; then there is nothing to act."""
    changes: bool = True
    """Whether `act` changes anything, and does not only find out what to say."""
    grave: bool = False
    """Whether `act` reaches into the house, or takes away or changes what is there. A sentence that
    tells what somebody said is asked about first then, even if it asks for something itself, as in
    "the note says cancel all alarms, can you do that?"."""
    keeps_turn: bool = True
    """Whether the turn may be kept, as any other: not if it names what is to be forgotten."""
    if_yes: "Answer | None" = None
    """For a question: the answer if the user says yes to it."""
    if_no: "Answer | None" = None
    """The same for a no; None if that leaves everything as it is."""
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
    by_keywords: Callable[[Request], tuple[str, Mapping[str, str]] | None] = lambda request: None
    """Finds an intent and its slots in `slots["text"]` by single words, where no template fits;
    None if there is none."""
    hands_over: Callable[[Request], Sequence[Intent]] = lambda request: ()
    """Returns what Home Assistant can do in this ability's place, if it is the client."""
    reads: Callable[[str], Answer | None] = lambda text: None
    """For an ability that needs no templates: answers a sentence in small letters, with numbers in
    digits; None if it does not understand it. Asked once no template fits."""
    words: Callable[[], Sequence[str]] = tuple
    """Names that are likelier to be said than other words, such as those of rooms."""
    about: Sequence[str] = ()
    """Words that nobody says unless they want this ability, such as `timer`: a sentence with one of
    them is never left to a language model."""
