"""The head: every unit becomes the row of a token that was heard, by where it stands and by how it
sounded."""

from pathlib import Path

import numpy as np
import pytest

from engines.alignment.vocabulary_head import VocabularyHead
from engines.errors import AttuneError
from engines.llm.vocabulary import Vocabulary
from engines.types import Float32, Units

SCALE = 20.0
MUTE = np.zeros((0, 4), np.float32)


@pytest.fixture(scope="module")
def vocabulary(llm_path: Path) -> Vocabulary:
    return Vocabulary(llm_path)


def unit(rows: Float32) -> Float32:
    made: Float32 = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-6)
    return made


def mute(vocabulary: Vocabulary, heard: list[int]) -> VocabularyHead:
    """A head of tokens that nobody has pronounced."""
    return VocabularyHead(vocabulary, heard, np.zeros((len(heard), 4), np.float32), 2)


def units_at(rows: Float32) -> Units:
    """Units that stand toward `rows` and sounded like nothing."""
    scored = np.concatenate([SCALE * unit(rows), np.zeros((len(rows), 4), np.float32)], axis=1)
    return Units(scored.astype(np.float32), 6.2, MUTE)


def test_near_a_row_it_becomes_the_row(vocabulary: Vocabulary) -> None:
    tokens = vocabulary.tokenize("Turn on the kitchen light.")
    rows = vocabulary.rows(tokens)
    noisy = rows + 0.03 * np.random.default_rng(0).standard_normal(rows.shape).astype(np.float32)
    read = mute(
        vocabulary, sorted({*tokens, *vocabulary.tokenize("Call my sister tomorrow.")})
    ).read(units_at(noisy), ())
    assert np.array_equal(read.vectors, rows)
    assert read.tokens == tuple(tokens) == tuple(vocabulary.nearest(read.vectors)[0])
    assert read.quantity == 6.2


def test_short_of_a_row_it_becomes_the_nearer_one(vocabulary: Vocabulary) -> None:
    tokens = vocabulary.tokenize(" coffee") + vocabulary.tokenize(" milk")
    rows = vocabulary.rows(tokens)
    one, other = unit(rows)
    hesitating = np.stack([0.6 * one + 0.4 * other, 0.4 * one + 0.6 * other])
    assert np.array_equal(mute(vocabulary, tokens).read(units_at(hesitating), ()).vectors, rows)


def test_an_expected_embedding_is_the_mean_of_what_a_unit_may_mean(vocabulary: Vocabulary) -> None:
    coffee, milk, tea = (vocabulary.tokenize(word)[0] for word in (" coffee", " milk", " tea"))
    rows = vocabulary.rows([coffee, milk])
    one, other = unit(rows)
    # So far out that the third word is out of the question.
    halfway = 200 * unit((one + other)[np.newaxis])[0]
    vectors = np.stack([200 * one, halfway])
    scored = np.concatenate([vectors, np.zeros((2, 4), np.float32)], axis=1).astype(np.float32)
    scores = mute(vocabulary, [coffee, milk, tea]).scores(Units(scored, 2.0, MUTE), ())
    found = scores.expected_embeddings(vocabulary)
    assert found.shape == rows.shape
    np.testing.assert_allclose(found[0], rows[0], atol=1e-4)
    np.testing.assert_allclose(found[1], rows.mean(axis=0), atol=1e-3)
    rates = np.exp(scores.table)
    np.testing.assert_allclose(found, rates @ vocabulary.rows(scores.tokens), atol=1e-5)


def test_of_two_rows_as_near_the_one_that_sounds_right_is_read(vocabulary: Vocabulary) -> None:
    tokens = vocabulary.tokenize(" coffee") + vocabulary.tokenize(" milk")
    keys = np.eye(2, 4, dtype=np.float32)
    between = unit(unit(vocabulary.rows(tokens)).sum(axis=0, keepdims=True))
    for wanted in (0, 1):
        scored = np.concatenate([SCALE * between, 10.0 * keys[[wanted]]], axis=1).astype(np.float32)
        read = VocabularyHead(vocabulary, tokens, keys, 2).read(Units(scored, 1.0, MUTE), ())
        assert read.tokens == (tokens[wanted],)
        assert read.log_probabilities == pytest.approx([-np.log1p(np.exp(-10.0))], abs=1e-3)


def test_words_that_differ_in_their_capitals_share_what_is_probable(vocabulary: Vocabulary) -> None:
    """Each of the two is less probable than the third word, together they are more."""
    lower, capital, other = (vocabulary.tokenize(word)[0] for word in (" sugar", " Sugar", " milk"))
    keys = np.eye(3, 4, dtype=np.float32)
    sound = np.array([[1.4, 1.5, 1.6, 0.0]], np.float32)
    scored = np.concatenate([np.zeros((1, 576), np.float32), sound], axis=1)
    read = VocabularyHead(vocabulary, [lower, capital, other], keys, 2).read(
        Units(scored, 1.0, MUTE), ()
    )
    assert read.tokens == (capital,)
    odds = np.exp(sound[0, :3])
    assert read.log_probabilities == pytest.approx([np.log(odds[:2].sum() / odds.sum())], abs=1e-4)


def test_choices_are_the_most_probable_ones_that_are_not_too_far_behind(
    vocabulary: Vocabulary,
) -> None:
    tokens = [vocabulary.tokenize(word)[0] for word in (" sugar", " milk", " tea", " salt")]
    sound = np.array([[4.0, 5.0, 1.0, 4.5], [0.0, 9.0, 0.0, 0.0]], np.float32)
    scored = np.concatenate([np.zeros((2, 576), np.float32), sound], axis=1)
    scores = VocabularyHead(vocabulary, tokens, np.eye(4, dtype=np.float32), 2).scores(
        Units(scored, 2.0, MUTE), ()
    )
    assert np.exp(scores.table).sum(axis=1) == pytest.approx(1.0)
    first, second = scores.choices(most=3, within=2.0)
    assert [token for token, _ in first] == [tokens[1], tokens[3], tokens[0]]
    assert [token for token, _ in second] == [tokens[1]]
    assert first[0][1] - first[1][1] == pytest.approx(0.5, abs=1e-5)
    assert len(scores.choices(most=99, within=99.0)[0]) == 4
    assert scores.of([tokens[3], tokens[1]], -99.0) == pytest.approx(
        first[1][1] + second[0][1], abs=1e-5
    )
    # A token that nobody heard.
    assert scores.of([tokens[0], -1], -12.0) == pytest.approx(first[2][1] - 12.0, abs=1e-5)


def test_a_token_never_heard_is_never_read(vocabulary: Vocabulary) -> None:
    heard = vocabulary.tokenize("Call my sister tomorrow.")
    unheard = vocabulary.rows(vocabulary.tokenize(" fjord"))
    nearest, _ = vocabulary.nearest(mute(vocabulary, heard).read(units_at(unheard), ()).vectors)
    assert set(nearest) <= set(heard)


def test_a_token_never_heard_is_read_where_the_first_pass_has_it(vocabulary: Vocabulary) -> None:
    fjord = vocabulary.tokenize(" fjord")
    rows = vocabulary.rows(fjord)
    read = mute(vocabulary, vocabulary.tokenize("Call my sister tomorrow.")).read(
        units_at(rows), fjord
    )
    assert read.tokens == tuple(fjord)
    assert np.array_equal(read.vectors, rows)


def test_a_first_pass_is_given_with_the_keys_of_what_was_heard(vocabulary: Vocabulary) -> None:
    heard, from_first_pass = vocabulary.tokenize(" coffee"), vocabulary.tokenize(" fjord coffee")
    keys = np.full((1, 4), 0.5, np.float32)
    given = VocabularyHead(vocabulary, heard, keys, 2).rows_and_keys(from_first_pass)
    assert np.array_equal(given[:, :576], vocabulary.rows(from_first_pass))
    assert np.array_equal(given[-1, 576:], keys[0])
    assert not given[:-1, 576:].any()
    assert VocabularyHead(vocabulary, heard, keys, 2).rows_and_keys([]).shape == (0, 580)


@pytest.mark.parametrize("heard", [[], [-1, 5], [5, 10**9]])
def test_a_projector_that_does_not_say_what_it_heard_is_refused(
    vocabulary: Vocabulary, heard: list[int]
) -> None:
    with pytest.raises(AttuneError, match="which tokens it knows"):
        mute(vocabulary, heard)
