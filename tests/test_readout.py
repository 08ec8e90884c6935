"""The readout: every soft token becomes the nearest row of a token that was heard."""

from pathlib import Path

import numpy as np
import pytest

from engines.errors import AttuneError
from engines.readout import Readout
from engines.types import SoftTokens
from engines.vocabulary import Vocabulary

NO_ROWS = np.zeros((0, 576), np.float32)


@pytest.fixture(scope="module")
def vocabulary(llm_path: Path) -> Vocabulary:
    return Vocabulary(llm_path)


def test_near_a_row_it_becomes_the_row(vocabulary: Vocabulary) -> None:
    tokens = vocabulary.tokenize("Turn on the kitchen light.")
    rows = vocabulary.rows(tokens)
    noisy = rows + 0.03 * np.random.default_rng(0).standard_normal(rows.shape).astype(np.float32)
    readout = Readout(vocabulary, sorted({*tokens, *vocabulary.tokenize("Call my sister tomorrow.")}), 2)
    sharpened = readout.sharpen(SoftTokens(noisy, 6.2), (), NO_ROWS)
    assert np.array_equal(sharpened.vectors, rows)
    assert sharpened.tokens == tuple(tokens) == tuple(vocabulary.nearest(sharpened.vectors)[0])
    assert sharpened.quantity == 6.2


def test_the_length_of_a_vector_does_not_matter(vocabulary: Vocabulary) -> None:
    tokens = vocabulary.tokenize("Call my sister tomorrow.")
    readout = Readout(vocabulary, tokens, 2)
    rows = vocabulary.rows(tokens)
    short, long = (SoftTokens(np.multiply(rows, factor, dtype=np.float32), 4.0) for factor in (0.01, 50.0))
    assert np.array_equal(readout.sharpen(short, (), NO_ROWS).vectors, readout.sharpen(long, (), NO_ROWS).vectors)


def test_short_of_a_row_it_becomes_the_nearer_one(vocabulary: Vocabulary) -> None:
    tokens = vocabulary.tokenize(" coffee") + vocabulary.tokenize(" milk")
    rows = vocabulary.rows(tokens)
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    hesitating = np.stack([0.6 * unit[0] + 0.4 * unit[1], 0.4 * unit[0] + 0.6 * unit[1]])
    assert np.array_equal(Readout(vocabulary, tokens, 2).sharpen(SoftTokens(hesitating, 2.0), (), NO_ROWS).vectors, rows)


def test_a_token_never_heard_is_never_read(vocabulary: Vocabulary) -> None:
    heard = vocabulary.tokenize("Call my sister tomorrow.")
    unheard = vocabulary.rows(vocabulary.tokenize(" fjord"))
    sharpened = Readout(vocabulary, heard, 2).sharpen(SoftTokens(unheard, 2.0), (), NO_ROWS)
    nearest, _ = vocabulary.nearest(sharpened.vectors)
    assert set(nearest) <= set(heard)


def test_a_token_never_heard_is_read_where_the_draft_has_it(vocabulary: Vocabulary) -> None:
    fjord = vocabulary.tokenize(" fjord")
    rows = vocabulary.rows(fjord)
    readout = Readout(vocabulary, vocabulary.tokenize("Call my sister tomorrow."), 2)
    sharpened = readout.sharpen(SoftTokens(rows * np.float32(0.9), 2.0), fjord, rows)
    assert sharpened.tokens == tuple(fjord)
    assert np.array_equal(sharpened.vectors, rows)


@pytest.mark.parametrize("heard", [[], [-1, 5], [5, 10**9]])
def test_a_projector_that_does_not_say_what_it_heard_is_refused(vocabulary: Vocabulary, heard: list[int]) -> None:
    with pytest.raises(AttuneError, match="which tokens it heard"):
        Readout(vocabulary, heard, 2)
