"""Where a phrase of the user's may have been misheard."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.whisper.phrases import LEAST_SIMILARITY, NO_PHRASES, Phrase, PhraseBook


def book(*texts: str) -> PhraseBook:
    return PhraseBook([Phrase(text=text) for text in texts])


@pytest.mark.parametrize(
    ("phrase", "heard", "meant"),
    [
        ("Robert", "Call Wobbert.", "Call Robert."),
        ("Robert", "call wobbert", "call Robert"),
        ("metoprolol", "Did I take my metro pro lol?", "Did I take my metoprolol?"),
        ("Siobhan", "Is Shiobhan's car here?", "Is Siobhan car here?"),
        (
            "living room",
            "Lights in the limping broom, please.",
            "Lights in the living room, please.",
        ),
    ],
)
def test_what_is_spelled_like_a_phrase_is_replaced(phrase: str, heard: str, meant: str) -> None:
    assert meant in [one.text for one in book(phrase).replacements(heard, 20)]


def test_what_was_heard_already_is_not_replaced() -> None:
    found = book("living room").replacements("Lights in the livingroom.", 20)
    assert "Lights in the living room." not in [one.text for one in found]


def test_the_most_similar_come_first_and_no_more_than_asked_for() -> None:
    found = book("Robert", "Roberta", "Rupert").replacements("Call Wobert.", 2)
    assert [one.text for one in found] == ["Call Robert.", "Call Roberta."]
    assert found[0].similarity >= found[1].similarity >= LEAST_SIMILARITY


def test_what_a_recording_sounded_like_leads_to_the_phrase() -> None:
    known = PhraseBook([Phrase(text="Xanthe", heard_as=("Santa",))])
    assert "Call Xanthe." in [one.text for one in known.replacements("Call Santa.", 5)]
    assert not book("Xanthe").replacements("Call Bob.", 5)


def test_each_word_belongs_to_the_longest_phrase() -> None:
    known = book("living room", "room")

    def found(text: str) -> list[str]:
        return [phrase.text for phrase in known.phrases_in(text)]

    assert found("The living room and the other room.") == ["living room", "room"]
    assert found("LIVING ROOM") == ["living room"]
    assert found("Nothing.") == []
    assert NO_PHRASES.phrases_in("living room") == []


def test_a_request_adds_phrases_for_itself() -> None:
    known = book("Robert")
    assert known.and_also(["Robert"]) is known
    assert {one.text for one in known.and_also(["Ann", "Ann"]).phrases} == {"Robert", "Ann"}
    assert not NO_PHRASES
    assert known


words = st.text("abcdefgh'. ", min_size=0, max_size=40)


@given(words, st.lists(st.text("abcdefgh", min_size=1, max_size=8), max_size=6))
def test_a_replacement_has_the_phrase_and_keeps_the_rest(text: str, phrases: list[str]) -> None:
    for one in book(*phrases).replacements(text, 50):
        assert one.text != text
        assert any(
            one.text.startswith(text[:start]) and phrase in one.text
            for phrase in phrases
            for start in range(len(text) + 1)
        )
        assert LEAST_SIMILARITY <= one.similarity <= 1
