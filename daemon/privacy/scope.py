"""What is to be forgotten: a scope, and what of the store lies in it."""

import json
from dataclasses import dataclass
from typing import Literal

from engines.errors import AttuneError

from ..store.store import Store, plain_words

Kind = Literal["utterances", "turn", "time span", "word", "everything"]


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

    @property
    def others(self) -> int:
        """The number of phrases, alarms and things on lists."""
        return len(self.phrases) + len(self.alarms) + len(self.items)

    @property
    def empty(self) -> bool:
        """Whether there is nothing to forget."""
        return not (self.utterances or self.turns or self.others)


def find(store: Store, scope: Scope) -> Found:
    """Return what of the store lies in `scope`. Raises AttuneError if it names something that is
    not there."""
    match scope.kind:
        case "everything":
            return _with_turns(
                store,
                scope.kind,
                [row[0] for row in store.rows("SELECT id FROM utterances")],
                [row[0] for row in store.rows("SELECT id FROM turns")],
                *_others(store, ""),
            )
        case "word":
            utterances, turns = _with_word(store, scope.word)
            return _with_turns(store, scope.kind, utterances, turns, *_others(store, scope.word))
        case "turn":
            return _with_turns(store, scope.kind, [], [_turn(store, scope.turn or 0)])
        case "utterances":
            return _with_turns(
                store, scope.kind, [_utterance(store, name) for name in scope.utterances], []
            )
        case "time span":
            span = (scope.since or 0.0, float("inf") if scope.until is None else scope.until)
            within = "created_at >= ? AND created_at < ?"
            return _with_turns(
                store,
                scope.kind,
                [one for (one,) in store.rows(f"SELECT id FROM utterances WHERE {within}", *span)],  # noqa: S608
                [one for (one,) in store.rows(f"SELECT id FROM turns WHERE {within}", *span)],  # noqa: S608
            )


def _with_turns(
    store: Store,
    kind: Kind,
    utterances: list[str],
    turns: list[int],
    phrases: tuple[str, ...] = (),
    alarms: tuple[int, ...] = (),
    items: tuple[int, ...] = (),
) -> Found:
    """The utterances with their turns, and the turns with their utterances."""
    more = store.rows(
        "SELECT DISTINCT utterance FROM turns WHERE utterance IS NOT NULL AND id IN"
        " (SELECT value FROM json_each(?))",
        json.dumps(turns),
    )
    whole = sorted({*utterances, *(one for (one,) in more)})
    theirs = store.rows(
        "SELECT id FROM turns WHERE utterance IN (SELECT value FROM json_each(?))",
        json.dumps(whole),
    )
    [(seconds,)] = store.rows(
        "SELECT coalesce(sum(seconds), 0) FROM utterances WHERE id IN"
        " (SELECT value FROM json_each(?))",
        json.dumps(whole),
    )
    all_turns = tuple(sorted({*turns, *(one for (one,) in theirs)}))
    return Found(kind, tuple(whole), seconds, all_turns, phrases, alarms, items)


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


def _others(store: Store, word: str) -> tuple[tuple[str, ...], tuple[int, ...], tuple[int, ...]]:
    """The phrases, alarms and things on lists in which `word` is; all of them without one."""
    phrases = store.rows("SELECT text, text || ' ' || heard_as FROM phrases")
    alarms = store.rows("SELECT id, name FROM alarms")
    items = store.rows("SELECT id, list || ' ' || text FROM list_items")
    found = [
        tuple(one for one, text in rows if says(text, word)) for rows in (phrases, alarms, items)
    ]
    return found[0], found[1], found[2]


def says(text: str, word: str) -> bool:
    """Return whether `word`, one or several, stands in `text`, whatever its letters' size."""
    return plain_words(word).strip() == "" or plain_words(word) in plain_words(text)
