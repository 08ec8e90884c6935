"""Reading a window again: the likeliest sentence wins, a phrase wins where the sound allows it."""

import math
from collections.abc import Sequence

import numpy as np
import pytest

from engines.interfaces import Step, unwatched
from engines.types import Float32, Transcript
from engines.whisper.phrases import NO_PHRASES, Phrase, PhraseBook
from engines.whisper.second_pass import (
    FIRST_TOKEN_NATS,
    FURTHER_TOKEN_NATS,
    LANGUAGE_MODEL_WEIGHT,
    MOST_PHRASES,
    SURE,
    TOKEN_NATS,
    Reading,
    leaves_doubt,
    read_again,
)

BONUS = FIRST_TOKEN_NATS
"""That of a phrase of one token, as "Robert" is here."""
FIRST = Transcript("Tall Ann.", 4 * math.log(0.5), 4)
WINDOW = np.zeros((60, 4), np.float32)


class Likelihoods:
    """Reads nothing: has a likelihood for each sentence, finds those of the beam, and of the others
    those that have a phrase and otherwise the words that were given."""

    def __init__(self, beam: list[str], likelihoods: dict[str, float], end: float = -1.0) -> None:
        self.beam = beam
        self.likelihoods = likelihoods
        self.end = end
        self.asked: list[str] = []

    def n_best(self, window: Float32, seconds: float, count: int) -> list[Reading]:
        return [Reading(text, self.likelihoods[text] + self.end, 5) for text in self.beam[:count]]

    def with_phrases(
        self, window: Float32, seconds: float, text: str, phrases: Sequence[str], count: int
    ) -> list[Reading]:
        self.asked.append(text)
        found = [
            Reading(other, likelihood + self.end, 5)
            for other, likelihood in self.likelihoods.items()
            if sum(a != b for a, b in zip(text.split(), other.split(), strict=True)) == 1
            and any(phrase in other and phrase not in text for phrase in phrases)
        ]
        return found[:count]

    def count_tokens(self, text: str) -> int:
        return len(text) // 4

    def log_likelihoods(self, window: Float32, texts: Sequence[str]) -> list[float]:
        return [self.likelihoods.get(text, -99.0) for text in texts]


def read(reader: Likelihoods, phrases: PhraseBook = NO_PHRASES) -> Transcript:
    return read_again(reader, WINDOW, 1.0, FIRST, phrases)


def test_the_likeliest_whole_sentence_wins_whatever_the_order_of_the_beam() -> None:
    likelihoods = {"Call me.": -9.0, "Call Bea.": -4.0, "Fall free.": -6.0}
    found = read(Likelihoods(list(likelihoods), likelihoods))
    assert found.text == "Call Bea."
    assert found.mean_probability == pytest.approx(math.exp(-5.0 / 5))


@pytest.mark.parametrize(
    ("others", "doubtful"),
    [
        ({}, ()),
        ({"Call me now.": -20.0}, ()),
        ({"Call me now.": -4.1}, (1,)),
        ({"Call me now.": -7.0, "Call tea now.": -7.0, "Call Bea not.": -7.0}, ()),
        ({"Call me now.": -6.0, "Call tea now.": -6.0, "Call Bea not.": -6.0}, (1,)),
        ({"Call me now.": -4.5, "Call tea now.": -4.5, "Call Bea not.": -5.5}, (1,)),
        ({"Can call Bea now.": -4.1}, ()),
        ({"Call now.": -4.1}, (1,)),
        ({"Fall free tonight": -4.1}, (0, 1, 2)),
        ({"call, bea NOW": -4.1}, ()),
    ],
)
def test_words_that_other_sentences_have_otherwise_are_in_doubt(
    others: dict[str, float], doubtful: tuple[int, ...]
) -> None:
    likelihoods = {"Call Bea now.": -4.0, **others}
    found = read(Likelihoods(list(likelihoods), likelihoods))
    assert (found.text, found.doubtful) == ("Call Bea now.", doubtful)


def test_the_first_pass_stays_where_the_beam_is_empty() -> None:
    assert read(Likelihoods([], {}), PhraseBook([Phrase(text="Ann")])) is FIRST


def test_what_is_sure_or_silent_leaves_no_doubt() -> None:
    assert leaves_doubt(FIRST)
    assert not leaves_doubt(Transcript("Call Ann.", 4 * math.log(SURE) + 1e-9, 4))
    assert not leaves_doubt(Transcript(""))


@pytest.mark.parametrize(("behind", "wins"), [(BONUS - 0.1, True), (BONUS + 0.1, False)])
def test_a_phrase_wins_only_where_it_is_nearly_as_likely(behind: float, wins: bool) -> None:
    likelihoods = {"Call Wobbert.": -4.0, "Call Robert.": -4.0 - behind}
    known = PhraseBook([Phrase(text="Robert")])
    found = read(Likelihoods(["Call Wobbert."], likelihoods), known)
    assert (found.text == "Call Robert.") == wins


def test_weight_says_how_much_more_a_phrase_is_expected() -> None:
    likelihoods = {"Call Wobbert.": -4.0, "Call Robert.": -4.0 - 1.5 * BONUS}
    known = PhraseBook([Phrase(text="Robert", weight=2.0)])
    assert read(Likelihoods(["Call Wobbert."], likelihoods), known).text == "Call Robert."


def test_a_rare_name_of_several_tokens_is_expected_more() -> None:
    likelihoods = {"Play ramstime.": -2.0, "Play Rammstein.": -2.0 - FURTHER_TOKEN_NATS}
    known = PhraseBook([Phrase(text="Rammstein")])
    assert read(Likelihoods(["Play ramstime."], likelihoods), known).text == "Play Rammstein."


def test_one_phrase_leads_to_the_next() -> None:
    likelihoods = {
        "Coal Wobbert near Boon.": -8.0,
        "Coal Robert near Boon.": -9.0,
        "Coal Robert near Bonn.": -10.0,
        "Call Robert near Bonn.": -11.0,
        "Call Robert near Boon.": -90.0,
    }
    known = PhraseBook([Phrase(text=text) for text in ("Bonn", "Call", "Robert")])
    reader = Likelihoods(["Coal Wobbert near Boon."], likelihoods)
    assert read(reader, known).text == "Call Robert near Bonn."
    assert len(reader.asked) == MOST_PHRASES


def test_the_search_ends_where_no_phrase_makes_it_better() -> None:
    likelihoods = {"Call Wobbert now.": -4.0, "Call Wobbert Ann.": -40.0}
    reader = Likelihoods(["Call Wobbert now."], likelihoods)
    assert read(reader, PhraseBook([Phrase(text="Ann")])).text == "Call Wobbert now."
    assert len(reader.asked) == 1


@pytest.mark.parametrize(("tokens", "places"), [(5, 12), (20, 10), (400, 3)])
def test_in_a_long_sentence_fewer_places_are_tried(tokens: int, places: int) -> None:
    counts = []

    class Long(Likelihoods):
        def n_best(self, window: Float32, seconds: float, count: int) -> list[Reading]:
            return [Reading("Call Wobbert.", -4.0, tokens)]

        def with_phrases(
            self, window: Float32, seconds: float, text: str, phrases: Sequence[str], count: int
        ) -> list[Reading]:
            counts.append(count)
            return []

    read(Long([], {}), PhraseBook([Phrase(text="Ann")]))
    assert counts == [places]


def test_what_was_heard_in_a_recording_of_a_phrase_leads_to_it() -> None:
    class Deaf(Likelihoods):
        def with_phrases(
            self, window: Float32, seconds: float, text: str, phrases: Sequence[str], count: int
        ) -> list[Reading]:
            return []

    known = PhraseBook([Phrase(text="Xanthe", heard_as=("Santa",))])
    near = {"Call Santa.": -4.0, "Call Xanthe.": -5.0}
    assert read(Deaf(["Call Santa."], near), known).text == "Call Xanthe."
    far = {"Call Santa.": -4.0, "Call Xanthe.": -40.0}
    assert read(Deaf(["Call Santa."], far), known).text == "Call Santa."


@pytest.mark.parametrize(("behind", "wins"), [(0.9, True), (1.1, False)])
def test_the_language_model_decides_between_sentences_that_sound_alike(
    behind: float, wins: bool
) -> None:
    likelihoods = {"Won me at ten.": -4.0, "Warn me at ten.": -4.0 - behind}
    asked: list[str] = []

    def score_texts(texts: Sequence[str], _step: Step = unwatched, /) -> list[float]:
        asked.extend(texts)
        return [
            -20.0 if text.startswith("Won") else -20.0 + 1 / LANGUAGE_MODEL_WEIGHT for text in texts
        ]

    reader = Likelihoods(list(likelihoods), likelihoods)
    found = read_again(reader, WINDOW, 1.0, FIRST, score_texts=score_texts)
    assert (found.text == "Warn me at ten.") == wins
    assert asked == list(likelihoods)
    assert found.log_likelihood == likelihoods[found.text] - 1.0, "the sound's alone"


@pytest.mark.parametrize(("more", "wins"), [(0.1, False), (-0.1, True)])
def test_a_long_sentence_has_something_in_its_favour_against_the_language_model(
    more: float, wins: bool
) -> None:
    class Long(Likelihoods):
        def n_best(self, window: Float32, seconds: float, count: int) -> list[Reading]:
            return [Reading("Call.", -4.0, 2), Reading("Call me at ten.", -4.0, 6)]

    balanced = 4 * TOKEN_NATS / LANGUAGE_MODEL_WEIGHT

    def score_texts(texts: Sequence[str], _step: Step = unwatched, /) -> list[float]:
        return [-10.0 if text == "Call." else -10.0 - balanced - more for text in texts]

    found = read_again(Long([], {}), WINDOW, 1.0, FIRST, score_texts=score_texts)
    assert (found.text == "Call me at ten.") == wins
