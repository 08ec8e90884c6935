"""Sentences as projectors learn them, and back: the first word as it stands inside a sentence."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engines.alignment.text_normalisation import as_written, spoken_tokens
from engines.llm.vocabulary import Vocabulary
from engines.types import SoftTokens


@pytest.fixture(scope="module")
def vocabulary(llm_path: Path) -> Vocabulary:
    return Vocabulary(llm_path)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Find a recipe.", " find a recipe."),
        ("Invite Robert.", " invite Robert."),
        ("Patricia called.", " Patricia called."),  # a name takes more tokens in lower case
        ("I am here.", " I am here."),
        ("I'll go.", " I'll go."),
        ("It is late.", " it is late."),
        ("  what? ", " what?"),
        ("7 o'clock.", " seven o'clock."),
        ("Set it to 25 degrees.", " set it to twenty five degrees."),
        ("…", " …"),
    ],
)
def test_the_first_word_stands_as_inside_a_sentence(
    vocabulary: Vocabulary, text: str, expected: str
) -> None:
    assert spoken_tokens(text, vocabulary) == vocabulary.tokenize(expected)


@pytest.mark.parametrize("text", ["", " ", "\n"])
def test_blanks_are_nothing(vocabulary: Vocabulary, text: str) -> None:
    assert spoken_tokens(text, vocabulary) == []


def read_as(text: str, vocabulary: Vocabulary) -> SoftTokens:
    """A reading of `text`, whose first token is 90 % sure and the others 50 %."""
    tokens = tuple(spoken_tokens(text, vocabulary))
    sure = (0.9, *[0.5] * (len(tokens) - 1))
    return SoftTokens(vocabulary.rows(tokens), 3.4, tokens, tuple(np.log(sure).tolist()), sure, 0.5)


@pytest.mark.parametrize(
    "text",
    [
        "Find a recipe.",
        "Invite Robert to dinner.",
        "Patricia called.",
        "I am here.",
        "What time is it?",
    ],
)
def test_what_was_read_is_written_as_the_language_model_has_it(
    vocabulary: Vocabulary, text: str
) -> None:
    read = read_as(text, vocabulary)
    written = as_written(read, vocabulary)
    assert written.tokens == tuple(vocabulary.tokenize(text))
    assert np.array_equal(written.vectors, vocabulary.rows(vocabulary.tokenize(text)))
    more = len(written.tokens) - len(read.tokens or ())
    assert written.confidences == (0.9,) * (1 + more) + (0.5,) * (len(written.tokens) - 1 - more)
    assert len(written.log_probabilities or ()) == len(written.tokens)
    assert (written.quantity, written.confidence) == (3.4, 0.5)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(alphabet="abyzAIZ '.,?é\n", max_size=20))
def test_any_text_keeps_its_words(vocabulary: Vocabulary, text: str) -> None:
    tokens = spoken_tokens(text, vocabulary)
    assert vocabulary.detokenize(tokens).strip().lower() == text.strip().lower()
    written = as_written(SoftTokens(vocabulary.rows(tokens), 1.0, tuple(tokens)), vocabulary)
    assert vocabulary.detokenize(written.tokens or ()).strip().lower() == text.strip().lower()


def test_a_number_that_was_read_is_written_in_digits_and_as_sure_as_its_least_sure_word(
    vocabulary: Vocabulary,
) -> None:
    tokens = tuple(spoken_tokens("Set it to 25 degrees.", vocabulary))
    said = [vocabulary.detokenize([token]) for token in tokens]
    assert said == [" set", " it", " to", " twenty", " five", " degrees", "."]
    sure = (0.9, 0.9, 0.9, 0.4, 0.3, 0.8, 0.7)
    written = as_written(
        SoftTokens(vocabulary.rows(tokens), 7.0, tokens, None, sure, 0.3), vocabulary
    )
    assert written.tokens == tuple(vocabulary.tokenize("Set it to 25 degrees."))
    assert written.confidences is not None
    assert len(written.confidences) == len(written.tokens)
    assert min(written.confidences) == 0.3
    assert written.confidences[0] == 0.9
    assert written.confidences[-2:] == (0.8, 0.7)


def test_nothing_read_stays_nothing(vocabulary: Vocabulary) -> None:
    nothing = SoftTokens(np.zeros((0, vocabulary.width), np.float32), 0.2, ())
    assert as_written(nothing, vocabulary) is nothing
