"""Where a text has a phrase of the user's, or what was heard of one."""

from hypothesis import given
from hypothesis import strategies as st

from engines.whisper.phrases import NO_PHRASES, Phrase, PhraseBook


def book(*texts: str) -> PhraseBook:
    return PhraseBook([Phrase(text=text) for text in texts])


def test_what_a_recording_sounded_like_leads_to_the_phrase() -> None:
    known = PhraseBook(
        [
            Phrase(text="Xanthe", heard_as=("Santa", "sand the")),
            Phrase(text="living room", heard_as=("limping broom",)),
        ]
    )
    assert known.meant_by("Call santa, Santa!") == ["Call Xanthe, Santa!", "Call santa, Xanthe!"]
    assert known.meant_by("Sand-the limping broom.") == [
        "Xanthe limping broom.",
        "Sand-the living room.",
    ]
    assert known.meant_by("Call Bob.") == []
    assert book("Xanthe").meant_by("Call Santa.") == []


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


@given(words, st.lists(st.text("abcdefgh", min_size=1, max_size=8), min_size=1, max_size=6))
def test_what_is_meant_has_the_phrase_and_keeps_the_rest(text: str, heard: list[str]) -> None:
    known = PhraseBook([Phrase(text="Xanthe", heard_as=tuple(heard))])
    for one in known.meant_by(text):
        before, _, after = one.partition("Xanthe")
        assert text.startswith(before)
        assert text.endswith(after)
        said = text[len(before) : len(text) - len(after)]
        assert "".join(filter(str.isalnum, said)) in heard
