"""What is to be forgotten: a scope, and what of the store lies in it."""

import json
from dataclasses import dataclass, replace
from typing import Any, Literal

from engines.errors import AttuneError

from ..store.records import STRANGERS
from ..store.store import Store, plain_words

Kind = Literal["utterances", "turn", "time span", "word", "user", "other voices", "everything"]


@dataclass(frozen=True)
class Scope:
    """What the user wants forgotten; one of the fields is given."""

    utterances: tuple[str, ...] = ()
    """Ids, or beginnings of ids that name one each."""
    turn: int | None = None
    """Number of a turn; 0 for the last one."""
    since: float | None = None
    """All that was said from here on, in seconds since the epoch."""
    until: float | None = None
    """And before this."""
    word: str = ""
    """All in which this word or phrase was said, or is written."""
    user: int | None = None
    """All that one user said, or that was said while they were served, and the user."""
    strangers: bool = False
    """All that voices said that are no user's."""
    everything: bool = False

    @property
    def kind(self) -> Kind:
        """What kind of scope it is."""
        if self.everything:
            return "everything"
        if self.word:
            return "word"
        if self.turn is not None:
            return "turn"
        if self.user is not None:
            return "user"
        if self.strangers:
            return "other voices"
        return "utterances" if self.utterances else "time span"


@dataclass(frozen=True)
class Found:
    """What lies in a scope."""

    kind: Kind
    utterances: tuple[str, ...]
    seconds: float
    """Length of their sound."""
    turns: tuple[int, ...]
    phrases: tuple[str, ...] = ()
    """Phrases of the vocabulary."""
    alarms: tuple[int, ...] = ()
    items: tuple[int, ...] = ()
    """Things on lists."""
    missed: tuple[int, ...] = ()
    """Alarms that nobody heard, and that are still to be told."""
    word: str = ""
    """The word that is to be forgotten, if it is one."""
    texts: frozenset[str] = frozenset()
    """What was said, in plain words."""
    user: int | None = None
    """The user who is to be forgotten, if it is one."""

    @property
    def others(self) -> int:
        """The number of phrases, alarms and things on lists."""
        return len(self.phrases) + len(self.alarms) + len(self.items) + len(self.missed)

    def shows(self, text: str) -> bool:
        """Whether `text` is one of what was said, or has the word in it."""
        return plain_words(text) in self.texts or (self.word != "" and says(text, self.word))

    @property
    def empty(self) -> bool:
        """Whether there is nothing to forget."""
        return not (self.utterances or self.turns or self.others or self.user)


def find(store: Store, scope: Scope) -> Found:
    """Return what of the store lies in `scope`. Raises AttuneError if it names something that is
    not there."""
    utterances: list[str] = []
    turns: list[int] = []
    match scope.kind:
        case "everything":
            utterances = [one for (one,) in store.rows("SELECT id FROM utterances")]
            turns = [one for (one,) in store.rows("SELECT id FROM turns")]
        case "word":
            utterances, turns = _with_word(store, scope.word)
        case "turn":
            turns = [_turn(store, scope.turn or 0)]
        case "user":
            utterances = _of_user(store, scope.user or 0)
            turns = [
                one for (one,) in store.rows("SELECT id FROM turns WHERE served = ?", scope.user)
            ]
        case "other voices":
            utterances = _names(store, STRANGERS)
        case "utterances":
            utterances = [_utterance(store, name) for name in scope.utterances]
        case "time span":
            span = (scope.since or 0.0, float("inf") if scope.until is None else scope.until)
            within = "WHERE created_at >= ? AND created_at < ?"
            utterances, turns = (
                [one for (one,) in store.rows(f"SELECT id FROM {table} {within}", *span)]  # noqa: S608
                for table in ("utterances", "turns")
            )
    found = replace(_whole(store, scope.kind, utterances, turns), user=scope.user)
    return (
        replace(found, **_others(store, scope)) if scope.kind in ("everything", "word") else found
    )


def _whole(store: Store, kind: Kind, utterances: list[str], turns: list[int]) -> Found:
    """The utterances with their turns, and the turns with their utterances."""
    more = store.rows(
        "SELECT DISTINCT utterance FROM turns WHERE utterance IS NOT NULL AND id IN"
        " (SELECT value FROM json_each(?))",
        json.dumps(turns),
    )
    all_utterances = sorted({*utterances, *(one for (one,) in more)})
    named = json.dumps(all_utterances)
    theirs = store.rows(
        "SELECT id FROM turns WHERE utterance IN (SELECT value FROM json_each(?))", named
    )
    all_turns = sorted({*turns, *(one for (one,) in theirs)})
    [(seconds,)] = store.rows(
        "SELECT coalesce(sum(seconds), 0) FROM utterances WHERE id IN"
        " (SELECT value FROM json_each(?))",
        named,
    )
    texts = store.rows(
        "SELECT text FROM labels WHERE utterance IN (SELECT value FROM json_each(?1)) UNION"
        " SELECT heard FROM turns WHERE id IN (SELECT value FROM json_each(?2))",
        named,
        json.dumps(all_turns),
    )
    said = frozenset(plain_words(text) for (text,) in texts if plain_words(text))
    return Found(kind, tuple(all_utterances), seconds, tuple(all_turns), texts=said)


def _of_user(store: Store, user: int) -> list[str]:
    """What is known to be the user's, and what may be: said while they were served, and not known
    to be another voice."""
    return _names(store, f"coalesce(user, served) = ? AND NOT ({STRANGERS})", user)


def _names(store: Store, condition: str, *values: object) -> list[str]:
    rows = store.rows(f"SELECT id FROM utterances WHERE {condition}", *values)  # noqa: S608
    return [name for (name,) in rows]


def _utterance(store: Store, name: str) -> str:
    found = store.rows("SELECT id FROM utterances WHERE substr(id, 1, ?) = ?", len(name), name)
    if len(found) != 1:
        why = "there is no utterance" if not found else "several utterances begin with"
        raise AttuneError(f"{why} {name}; `attune data list` shows them")
    return str(found[0][0])


def _turn(store: Store, number: int) -> int:
    last = "SELECT max(id) FROM turns"
    [(found,)] = store.rows(last) if not number else store.rows(f"{last} WHERE id = ?", number)
    if found is None:
        what = f"there is no turn {number}" if number else "no turn is kept"
        raise AttuneError(f"{what}, so there is nothing to forget; `attune status` shows turns")
    return int(found)


def _with_word(store: Store, word: str) -> tuple[list[str], list[int]]:
    if not plain_words(word):
        raise AttuneError("a word to forget has a letter or a digit")
    said = [
        utterance
        for utterance, text in store.rows("SELECT utterance, text FROM labels")
        if says(text, word)
    ]
    turns = store.rows("SELECT id, heard, reply FROM turns")
    shadows = store.rows("SELECT turn, heard, coalesce(reply, '') FROM shadow_readings")
    return said, [
        number
        for number, heard, reply in [*turns, *shadows]
        if says(heard, word) or says(reply, word)
    ]


def _others(store: Store, scope: Scope) -> dict[str, Any]:
    """The phrases, alarms and things on lists in which the word is; all of them without one."""
    texts = {
        "phrases": "SELECT text, text || ' ' || heard_as FROM phrases",
        "alarms": "SELECT id, name FROM alarms",
        "items": "SELECT id, list || ' ' || text FROM list_items",
        "missed": "SELECT id, text FROM missed_alarms",
    }
    found: dict[str, Any] = {
        field: tuple(one for one, text in store.rows(query) if says(text, scope.word))
        for field, query in texts.items()
    }
    return {**found, "word": scope.word}


def says(text: str, word: str) -> bool:
    """Return whether `word`, one or several, stands in `text`, whatever its letters' size."""
    return plain_words(word).strip() == "" or plain_words(word) in plain_words(text)
