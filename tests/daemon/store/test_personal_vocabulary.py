"""The personal vocabulary: what may be in it, and that it is there again at the next start."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.store.personal_vocabulary import MAX_PHRASES, PersonalVocabulary, checked_phrase
from daemon.store.store import Store
from engines.errors import AttuneError
from engines.whisper.phrases import Phrase


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path)
    yield store
    store.close()


def texts(vocabulary: PersonalVocabulary) -> list[str]:
    return [phrase.text for phrase in vocabulary.book().phrases]


def test_what_was_added_is_there_at_the_next_start(store: Store, tmp_path: Path) -> None:
    vocabulary = PersonalVocabulary(store)
    assert vocabulary.add([Phrase(text="  living   room "), Phrase(text="Zoë", weight=2.0)]) == 2
    assert vocabulary.remove(["Living Room"]) == 1
    again = Store(tmp_path)
    try:
        [left] = PersonalVocabulary(again).book().phrases
    finally:
        again.close()
    assert left == Phrase(text="Zoë", weight=2.0)


def test_a_phrase_is_one_whatever_its_case_and_keeps_what_was_heard(store: Store) -> None:
    vocabulary = PersonalVocabulary(store)
    vocabulary.add([Phrase(text="ÄRZTIN", heard_as=("ersten",))])
    assert vocabulary.add([Phrase(text="Ärztin", weight=0.5, heard_as=("hearts in",))]) == 0
    [phrase] = vocabulary.book().phrases
    assert phrase == Phrase(text="Ärztin", weight=0.5, heard_as=("ersten", "hearts in"))


def test_all_or_nothing(store: Store) -> None:
    vocabulary = PersonalVocabulary(store)
    vocabulary.add([Phrase(text="Ann")])
    with pytest.raises(AttuneError, match=r"'\?\?' has no letter"):
        vocabulary.add([Phrase(text="Bea"), Phrase(text="??")])
    with pytest.raises(AttuneError, match="'Cy' is not in the vocabulary"):
        vocabulary.remove(["Ann", "Cy"])
    assert texts(vocabulary) == ["Ann"]


def test_it_does_not_grow_without_an_end(store: Store) -> None:
    vocabulary = PersonalVocabulary(store)
    vocabulary.add([Phrase(text=f"name {number}") for number in range(MAX_PHRASES)])
    with pytest.raises(AttuneError, match="remove some first"):
        vocabulary.add([Phrase(text="one more")])
    assert vocabulary.add([Phrase(text="name 7", weight=3.0)]) == 0


@pytest.mark.parametrize("text", ["", " - ", "a b c d e f g", "x" * 81, "bell\a ringer"])
def test_what_cannot_be_listened_for_is_refused(text: str) -> None:
    with pytest.raises(AttuneError):
        checked_phrase(text)
