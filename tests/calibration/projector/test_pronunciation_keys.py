"""Pronunciations: espeak-ng's phonemes of tokens, and keys that are near where tokens sound
alike."""

from pathlib import Path

import numpy as np
import pytest
import torch

from calibration.projector.pronunciation_keys import (
    MOST_PHONEMES,
    PronunciationKeys,
    phonemes_of,
    pronounce,
)
from engines.llm.vocabulary import Vocabulary


@pytest.fixture(scope="module")
def vocabulary(llm_path: Path) -> Vocabulary:
    return Vocabulary(llm_path)


def only(vocabulary: Vocabulary, word: str) -> int:
    (token,) = vocabulary.tokenize(word)
    return token


def test_words_that_sound_alike_have_the_same_phonemes_and_what_is_no_word_has_none(
    vocabulary: Vocabulary,
) -> None:
    words = [
        only(vocabulary, word) for word in (" sea", " see", " sun", " son", " night", ",", "7")
    ]
    table = pronounce(vocabulary, words, 2)
    assert table.shape == (vocabulary.size, MOST_PHONEMES)
    sea, see, sun, son, night, comma, seven = (table[word].tolist() for word in words)
    assert sea == see
    assert sun == son
    assert len({tuple(sea), tuple(sun), tuple(night)}) == 3
    assert sea[0] == sun[0]
    assert sum(symbol > 0 for symbol in night) == 3
    assert comma == seven == [0] * MOST_PHONEMES
    assert np.count_nonzero(table.any(axis=1)) == 5


def test_many_words_each_get_their_own_line(vocabulary: Vocabulary) -> None:
    """More than one call's worth, and words that espeak-ng reads as letters or as nothing would
    shift all others."""
    tokens = range(3000, 6000)
    table = pronounce(vocabulary, tokens, 2)
    for token in (3100, 4500, 5900):
        assert np.array_equal(pronounce(vocabulary, [token], 1)[token] > 0, table[token] > 0)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (" h_@_l_'oU\n", ["h", "@", "l", "oU"]),
        ("t_,i:_;_'E_f", ["t", "i:", "E", "f"]),
        ("", []),
        ("_'_,_", []),
    ],
)
def test_stress_and_pauses_are_left_out(line: str, expected: list[str]) -> None:
    assert phonemes_of(line) == expected


def test_keys_are_unit_vectors_and_nothing_for_what_is_not_pronounced() -> None:
    torch.manual_seed(0)
    keys = PronunciationKeys(4, 16)
    keys.phonemes[0, :3] = torch.tensor([5, 6, 7], dtype=torch.uint8)
    keys.phonemes[1, :4] = torch.tensor([5, 6, 7, 8], dtype=torch.uint8)
    keys.phonemes[2, :3] = torch.tensor([30, 41, 52], dtype=torch.uint8)
    found = keys(torch.tensor([0, 1, 2, 3]))
    assert torch.allclose(found.norm(dim=1), torch.tensor([1.0, 1.0, 1.0, 0.0]), atol=1e-5)
    assert found[0] @ found[1] > found[0] @ found[2]
    assert keys.spoken(torch.tensor([2, 3, 0])).tolist() == [30, 41, 52, 5, 6, 7]


def test_every_phoneme_counts_once_wherever_it_stands() -> None:
    keys = PronunciationKeys(1, 16)
    for length in range(1, MOST_PHONEMES + 1):
        shares = keys.places[length]
        assert torch.allclose(shares[:length].sum(dim=1), torch.ones(length), atol=1e-5)
        assert not shares[length:].any()
