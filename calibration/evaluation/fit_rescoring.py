"""Fits the weights of the features that rescoring compares. Knows features and errors, no audio.

The fit is a conditional logit (McFadden 1974): the weights under which the sentences with the
fewest wrong words are the most probable of their list, on labelled utterances that were never
trained on.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from engines.alignment.rescoring import Feature

from .newton import Numbers, minimise_by_newton

_RIDGE = 0.03
"""The ridge on the mean loss of a list, for standardised features."""
_SILENT = 1e-6
_SIGNED = Feature.TOKENS
"""The one feature whose weight may be negative; of the others, more is never worse."""


def fit_rescoring_weights(
    lists: Sequence[tuple[NDArray[np.float64], NDArray[np.int64]]], start: tuple[float, ...] = ()
) -> tuple[float, ...]:
    """Fit weights to n-best lists, each given as its features [N, W] and the number of wrong words
    [N] of each sentence.

    Weights that the lists do not determine stay near `start`, or near 0. Returns `start` itself
    where no list has one sentence better than another.
    """
    telling = [(features, wrong) for features, wrong in lists if len(set(wrong.tolist())) > 1]
    if not telling:
        return start
    spread = np.concatenate([features - features.mean(axis=0) for features, _ in telling]).std(
        axis=0
    )
    silent = spread < _SILENT  # says the same of every sentence here, so nothing is learnt of it
    spread[silent] = 1.0
    given = [(features - features.mean(axis=0)) / spread for features, _ in telling]
    best = [wrong == wrong.min() for _, wrong in telling]
    before = np.array(start or np.zeros(len(spread))) * spread

    def loss(weights: Numbers) -> tuple[float, Numbers, Numbers]:
        away = weights - before
        value, gradient, curvature = (
            _RIDGE * away @ away,
            2 * _RIDGE * away,
            2 * _RIDGE * np.eye(len(weights)),
        )
        for features, good in zip(given, best, strict=True):
            scores = features @ weights
            total, of_good = np.logaddexp.reduce(scores), np.logaddexp.reduce(scores[good])
            among_all, among_good = (
                np.exp(scores - total),
                np.where(good, np.exp(scores - of_good), 0.0),
            )
            mean = among_all @ features
            value += (total - of_good) / len(given)
            gradient += (mean - among_good @ features) / len(given)
            # That among the good ones would be taken off, but then it need not be positive.
            curvature += ((features.T * among_all) @ features - np.outer(mean, mean)) / len(given)
        return float(value), gradient, curvature

    least = [None if place == _SIGNED else 0.0 for place in range(len(spread))]
    learnt = np.where(silent, before, minimise_by_newton(before, loss, least)) / spread
    return tuple(float(weight) for weight in learnt)
