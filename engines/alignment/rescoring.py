"""Rescores an n-best list: compares its sentences by weighted features. Knows no projector;
`calibration/evaluation/fit_rescoring.py` fits the weights."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from ..llm.vocabulary import Vocabulary
from ..types import Float32

_MARGIN = 3.0
"""How far the language model can move one sentence against another: it does not score sentences
that are further behind the best."""
_FIRST_PASS_MARGIN = 1.5
"""The lead over all other sentences at which a first-pass transcript ends the search. It has that
lead in most utterances of a voice that ordinary recognisers understand, and those lose nothing by
it (docs/adr/0011)."""
_FARTHEST = 25.0
"""The most that one feature can put a sentence behind the best: a feature may be mistaken (a word
whose pronunciation it does not know), and must not rule out a sentence that all others favour."""


class Feature(IntEnum):
    """A feature of a sentence: the index of its column, and of its weight."""

    ALONE = 0
    """The log probability of the sentence by the units of the passes without a first-pass
    transcript."""
    WITH_FIRST_PASS = 1
    """The log probability of the sentence by the units of the passes with the first-pass
    transcript."""
    PHONEMES = 2
    """The CTC log likelihood of the sentence's phonemes."""
    LANGUAGE = 3
    """The log likelihood of the sentence to the language model."""
    APART = 4
    """Minus the square of the difference between the sentence's number of tokens and the
    quantity."""
    FROM_FIRST_PASS = 5
    """1 where the sentence is the first-pass transcript, else 0."""
    FIRST_PASS_CONFIDENCE = 6
    """The log of the mean probability of its tokens where the sentence is the first-pass
    transcript, else 0."""
    TOKENS = 7
    """The number of the sentence's tokens."""


@dataclass(frozen=True)
class NBestList:
    """The sentences that an utterance may have been, with their features."""

    sentences: tuple[tuple[int, ...], ...]
    features: NDArray[np.float64]
    """[N, len(Feature)]."""
    quantity: float
    """The quantity by the pass without a first-pass transcript."""
    first_pass: tuple[int, ...]

    def narrowed(self, weights: Sequence[float]) -> "NBestList":
        """The sentences that the language model could still make the best; only the first-pass
        transcript where that leads."""
        scores = scores_without_language(self.features, weights)
        leads = self.sentences[int(scores.argmax())] == self.first_pass
        near = np.flatnonzero(scores >= scores.max() - _MARGIN)
        if leads and (scores[near] > scores.max() - _FIRST_PASS_MARGIN).sum() == 1:
            near = np.array([scores.argmax()])
        return self._at(near)

    def first(self, tokens: int) -> "NBestList":
        """The first sentences, as many as a language model reads in `tokens` tokens (a beginning
        that several share counts once), and at least one."""
        read: set[tuple[int, ...]] = set()
        for place, sentence in enumerate(self.sentences):
            read |= {sentence[:length] for length in range(1, len(sentence) + 1)}
            if place and len(read) > tokens:
                return self._at(np.arange(place))
        return self

    def unjudged(self) -> "NBestList":
        """The list as it is without a language model. Its length does not count either: that only
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
        """The probability [N] that each sentence is the best of them, by weighted features."""
        scores = self.features @ np.asarray(weights)
        odds: NDArray[np.float64] = np.exp(scores - scores.max())
        return np.asarray(odds / odds.sum())

    def expected_embeddings(self, weights: Sequence[float], vocabulary: Vocabulary) -> Float32:
        """The expected embeddings [U, E]: means of the rows of all sentences that are as long as
        the most probable one, weighted by their probabilities."""
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
    """The probability, 0 to 1, of each token of `sentence`: summed over the sentences that have it
    in the same place."""
    agreed = np.zeros(len(sentence))
    for other, share in zip(n_best.sentences, probabilities, strict=True):
        for block in SequenceMatcher(None, sentence, other, autojunk=False).get_matching_blocks():
            agreed[block.a : block.a + block.size] += share
    return [min(1.0, float(value)) for value in agreed]


def bounded(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """`scores` ([N] or [N, W]) with none farther than _FARTHEST behind the best of its column."""
    return np.asarray(np.maximum(scores, scores.max(axis=0) - _FARTHEST))


def scores_without_language(
    features: NDArray[np.float64], weights: Sequence[float]
) -> NDArray[np.float64]:
    """The scores [N] by weighted features, without those of the language model and of the length:
    the length makes up for what the language model charges for each token, and alone would put the
    longest sentences first."""
    counted = np.array(weights)
    counted[[Feature.LANGUAGE, Feature.TOKENS]] = 0.0
    return np.asarray(features @ counted)
