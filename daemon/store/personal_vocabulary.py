"""Stores the words and names that the user expects to be heard, and hands them to whatever hears.
Knows no model."""

import json
import threading
from collections.abc import Callable, Sequence

from engines.errors import AttuneError
from engines.whisper.phrases import Phrase, PhraseBook

from .store import Store

MAX_PHRASES = 5000
MAX_PHRASE_CHARACTERS = 80
MAX_PHRASE_WORDS = 6
MAX_WEIGHT = 3.0
_MOST_HEARD_AS = 5
"""The most recordings of a phrase whose transcripts are kept."""


def checked_phrase(text: str) -> str:
    """Return `text` with single spaces between its words. Raises AttuneError if it is no phrase
    that can be listened for."""
    phrase = " ".join(text.split())
    if not any(character.isalnum() for character in phrase):
        raise AttuneError(f"{text!r} has no letter; give a word or a name")
    if len(phrase) > MAX_PHRASE_CHARACTERS or len(phrase.split()) > MAX_PHRASE_WORDS:
        raise AttuneError(
            f"{phrase[:40]!r} is too long; a phrase has at most {MAX_PHRASE_WORDS} words and"
            f" {MAX_PHRASE_CHARACTERS} characters"
        )
    if not phrase.isprintable():
        raise AttuneError(f"{phrase!r} has characters that cannot be shown; leave them out")
    return phrase


def _can_be_listened_for(text: str) -> bool:
    try:
        return checked_phrase(text) == text
    except AttuneError:
        return False


class PersonalVocabulary:
    """The user's phrases; safe to use from several threads."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._others: Callable[[], Sequence[str]] = tuple
        self._book = PhraseBook(self._read())

    @property
    def own(self) -> Sequence[Phrase]:
        """The user's own phrases."""
        return self._book.phrases

    def expect_also(self, words: Callable[[], Sequence[str]]) -> None:
        """Expect what `words` returns from now on, beside the user's own phrases."""
        self._others = words

    def book(self) -> PhraseBook:
        """Return what is expected now."""
        others = [word for word in self._others() if _can_be_listened_for(word)]
        return self._book.and_also(others[:MAX_PHRASES])

    def read_again(self) -> None:
        """Expect the phrases that are stored now: some were removed."""
        with self._lock:
            self._book = PhraseBook(self._read())

    def add(self, phrases: Sequence[Phrase]) -> int:
        """Add phrases, or change the weight of those that are there, and return how many are new.
        What was heard in recordings is kept. Raises AttuneError, and changes nothing, if one cannot
        be listened for or there would be too many."""
        wanted = [
            phrase.model_copy(update={"text": checked_phrase(phrase.text)}) for phrase in phrases
        ]
        with self._lock:
            there = {phrase.text.casefold(): phrase for phrase in self._book.phrases}
            new = {phrase.text.casefold() for phrase in wanted} - there.keys()
            if len(there) + len(new) > MAX_PHRASES:
                raise AttuneError(
                    f"the vocabulary would have {len(there) + len(new)} phrases, and holds"
                    f" {MAX_PHRASES}; remove some first"
                )
            with self._store.writing() as connection:
                for phrase in wanted:
                    known = there.get(phrase.text.casefold())
                    heard = [*(known.heard_as if known else ()), *phrase.heard_as]
                    kept = tuple(dict.fromkeys(heard))[-_MOST_HEARD_AS:]
                    there[phrase.text.casefold()] = phrase.model_copy(update={"heard_as": kept})
                    if known is not None:
                        connection.execute("DELETE FROM phrases WHERE text = ?", (known.text,))
                    connection.execute(
                        "INSERT INTO phrases (text, weight, heard_as, added_at,"
                        " service_at) VALUES (?, ?, ?, ?, ?)",
                        (
                            phrase.text,
                            phrase.weight,
                            json.dumps(kept),
                            self._store.clocks.wall(),
                            self._store.service_seconds(),
                        ),
                    )
            self._book = PhraseBook(self._read())
        return len(new)

    def remove(self, texts: Sequence[str]) -> int:
        """Remove phrases and return how many there were. Raises AttuneError, and changes nothing,
        if one of them is not there."""
        asked = {" ".join(text.split()).casefold(): text for text in texts}
        with self._lock:
            there = {phrase.text.casefold(): phrase.text for phrase in self._book.phrases}
            if missing := [text for key, text in asked.items() if key not in there]:
                raise AttuneError(
                    f"{missing[0]!r} is not in the vocabulary; `attune vocabulary list` shows it"
                )
            with self._store.writing() as connection:
                for key in asked:
                    connection.execute("DELETE FROM phrases WHERE text = ?", (there[key],))
            self._book = PhraseBook(self._read())
        return len(asked)

    def _read(self) -> list[Phrase]:
        rows = self._store.rows("SELECT text, weight, heard_as FROM phrases ORDER BY text")
        return [
            Phrase(text=text, weight=weight, heard_as=tuple(json.loads(heard_as)))
            for text, weight, heard_as in rows
        ]
