"""Scores how well sentences fit an utterance, phoneme by phoneme (CTC: Graves et al. 2006, section
4.1).

It complements integrate-and-fire: it counts no units, so it tells a word said twice from one said
once. Knows numbers, no words.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..types import Float32

IMPOSSIBLE = -1e9
"""The score of a sentence that needs more time steps than there are."""


def phoneme_scores(
    log_probabilities: Float32, sentences: Sequence[NDArray[np.integer]]
) -> NDArray[np.float64]:
    """The natural log likelihoods [N] of `sentences`, each given as the numbers of its phonemes,
    under [T, S] log probabilities.

    Number 0 is CTC's blank. A sentence that needs more than T steps has the score IMPOSSIBLE.
    """
    if not sentences:
        return np.zeros(0)
    longest = max(len(sentence) for sentence in sentences)
    # None, phoneme, none, phoneme, ..., none.
    states = np.zeros((len(sentences), 2 * longest + 1), np.int64)
    for row, sentence in zip(states, sentences, strict=True):
        row[1 : 2 * len(sentence) : 2] = sentence
    # From a phoneme to the next without none between, unless they are the same.
    skips = np.zeros(states.shape)
    skips[:, 3::2] = states[:, 3::2] != states[:, 1:-2:2]
    steps = np.exp(log_probabilities.astype(np.float64))
    # Two places before the first state, from which nothing comes.
    room = np.zeros((len(sentences), states.shape[1] + 2))
    reached = room[:, 2:]
    reached[:, :2] = steps[0][states[:, :2]]
    total = np.zeros(len(sentences))
    with np.errstate(divide="ignore"):
        for step in steps[1:]:
            reached[:] = (reached + room[:, 1:-1] + skips * room[:, :-2]) * step[states]
            # Scaled back to a sum of one at each step (Rabiner 1989, section V.A), else nothing is
            # left of the numbers soon.
            scale = reached.sum(axis=1)
            total += np.log(scale)
            reached /= np.where(scale > 0, scale, 1.0)[:, None]
        ends = np.array([2 * len(sentence) for sentence in sentences])
        rows = np.arange(len(sentences))
        last = reached[rows, ends] + np.where(ends > 0, reached[rows, np.maximum(ends - 1, 0)], 0.0)
        return np.asarray(np.maximum(total + np.log(last), IMPOSSIBLE))
