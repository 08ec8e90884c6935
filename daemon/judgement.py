"""How much a judgement on a card proves: whether it is of enough utterances, and what chance may
have made of it. Pure."""

import numpy as np
from numpy.typing import NDArray

from engines.generations.card import Judgement, Score

MIN_UTTERANCES = 5
"""Fewer held-out utterances than this prove nothing. Where a quarter of the words are misheard
about half of all short requests are heard without an error: five in a row are so by chance once in
thirty times, three once in eight."""
MIN_WORDS = 15
"""Fewer words in their labels prove nothing either: utterances of one word tell little each."""
CERTAINTY = 0.9
"""Share of resampled sets of utterances that must say the same: a gain on a few of them may be
chance."""
_RESAMPLES = 2000


def proves(judgement: Judgement) -> bool:
    """Whether all three were judged on at least MIN_UTTERANCES utterances of at least MIN_WORDS
    words."""
    scores: tuple[Score, ...] = (judgement.candidate, judgement.current, judgement.cascade)
    return all(score.words >= MIN_WORDS and score.utterances >= MIN_UTTERANCES for score in scores)


def resampled(words: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """[_RESAMPLES] `counts` over `words`, both [N] by utterance, in sets of as many utterances
    drawn from them with replacement: a bootstrap (Efron 1979)."""
    drawn = np.random.default_rng(0).integers(len(words), size=(_RESAMPLES, len(words)))
    return np.asarray(counts[drawn].sum(axis=1) / np.maximum(words[drawn].sum(axis=1), 1))


def percent(rate: float) -> str:
    """A share, for people."""
    return f"{100 * rate:.1f} %"
