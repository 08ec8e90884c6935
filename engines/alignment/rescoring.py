"""Rescoring: compares the sentences of an n-best list by weighted features. Knows no passes of a
projector; `calibration/evaluation/fit_rescoring.py` fits the weights."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from ..llm.vocabulary import Vocabulary
from ..types import Float32

_MARGIN = 3.0
"""How far the language model may move one sentence against another: what is further behind the best
is not asked about."""
_FIRST_PASS_MARGIN = 1.5
"""By how much a first-pass transcript must lead all others for nothing further to be looked at: so
it does in most utterances of a voice that recognisers hear well, which lose nothing by it
(docs/adr/0011)."""
_FARTHEST = 25.0
"""How far behind the best a sentence can be by one feature: it may be mistaken (a word whose
pronunciation it does not know), and no sentence that has everything else for it falls with it."""


class Feature(IntEnum):
    """What speaks for a sentence: a column of the features, and of their weights."""

    ALONE = 0
    """Its log probability by the units of the passes without a first-pass transcript."""
    WITH_FIRST_PASS = 1
    """Its log probability by the units of the passes with the first-pass transcript."""
    PHONEMES = 2
    """The log likelihood of its phonemes."""
    LANGUAGE = 3
    """Its log likelihood to the language model."""
    APART = 4
    """Minus the square of how far its number of tokens is from the quantity heard."""
    FROM_FIRST_PASS = 5
    """Whether it is the first-pass transcript: 1 or 0."""
    FIRST_PASS_CONFIDENCE = 6
    """The log of the mean probability of the first-pass transcript's tokens, if it is that; else
    0."""
    TOKENS = 7
    """Its number of tokens."""


@dataclass(frozen=True)
class NBestList:
    """Sentences beside each other."""

    sentences: tuple[tuple[int, ...], ...]
    features: NDArray[np.float64]
    """[N, len(Feature)]."""
    quantity: float
    """Of the pass without a first-pass transcript."""
    first_pass: tuple[int, ...]

    def narrowed(self, weights: Sequence[float]) -> "NBestList":
        """Those that the language model could still make the best; the first-pass transcript alone
        where it leads."""
        scores = scores_without_language(self.features, weights)
        leads = self.sentences[int(scores.argmax())] == self.first_pass
        near = np.flatnonzero(scores >= scores.max() - _MARGIN)
        if leads and (scores[near] > scores.max() - _FIRST_PASS_MARGIN).sum() == 1:
            near = np.array([scores.argmax()])
        return self._at(near)

    def first(self, tokens: int) -> "NBestList":
        """The first of them, as many as a language model reads in so many tokens (what several
        begin with counts once), and at least one."""
        read: set[tuple[int, ...]] = set()
        for place, sentence in enumerate(self.sentences):
            read |= {sentence[:length] for length in range(1, len(sentence) + 1)}
            if place and len(read) > tokens:
                return self._at(np.arange(place))
        return self

    def unjudged(self) -> "NBestList":
        """As they are where no language model says anything. Nor does their length count: it only
        makes up for what a language model charges for each token."""
        features = self.features.copy()
        features[:, [Feature.LANGUAGE, Feature.TOKENS]] = 0.0
        return replace(self, features=features)

    def _at(self, places: NDArray[np.int64]) -> "NBestList":
        return replace(
            self,
            sentences=tuple(self.sentences[place] for place in places),
            features=self.features[places],
        )

    def probabilities(self, weights: Sequence[float]) -> NDArray[np.float64]:
        """[N] of each sentence's being the best of them, by weighted features."""
        scores = self.features @ np.asarray(weights)
        odds: NDArray[np.float64] = np.exp(scores - scores.max())
        return np.asarray(odds / odds.sum())

    def expected_embeddings(self, weights: Sequence[float], vocabulary: Vocabulary) -> Float32:
        """[U, E] the mean of the rows of all sentences that are as long as the most probable one,
        weighted by how probable they are by weighted features."""
        probabilities = self.probabilities(weights)
        count = len(self.sentences[int(probabilities.argmax())])
        alike = [
            (rate, tokens)
            for rate, tokens in zip(probabilities, self.sentences, strict=True)
            if len(tokens) == count
        ]
        expected = sum(rate * vocabulary.rows(tokens) for rate, tokens in alike) / sum(
            rate for rate, _ in alike
        )
        return np.asarray(expected, np.float32)


def agreement(
    sentence: Sequence[int], n_best: NBestList, probabilities: NDArray[np.float64]
) -> list[float]:
    """For each token of `sentence` the summed probability, 0 to 1, of the sentences that have it in
    the same place."""
    agreed = np.zeros(len(sentence))
    for other, share in zip(n_best.sentences, probabilities, strict=True):
        for block in SequenceMatcher(None, sentence, other, autojunk=False).get_matching_blocks():
            agreed[block.a : block.a + block.size] += share
    return [min(1.0, float(value)) for value in agreed]


def bounded(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """[N] or [N, W]: none farther than _FARTHEST behind the best of its column."""
    return np.asarray(np.maximum(scores, scores.max(axis=0) - _FARTHEST))


def scores_without_language(
    features: NDArray[np.float64], weights: Sequence[float]
) -> NDArray[np.float64]:
    """[N] by weighted features, but for the language model's and the length's: that makes up for
    what the language model charges for each token, and without it would put the longest sentences
    first."""
    counted = np.array(weights)
    counted[[Feature.LANGUAGE, Feature.TOKENS]] = 0.0
    return np.asarray(features @ counted)
