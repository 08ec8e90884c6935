"""Sharpens soft tokens: from where the projector landed to what it most probably meant. Knows the embedding table, no audio.

A projector trained by regression lands between the rows that it hesitates over, and a language model that reads such a mean
answers something else entirely. EmbedLink's contrast trains a softmax over cosines to the rows; here it is read out over the
tokens that the projector ever heard in training (it cannot land on another): where one row has most of the probability the soft
token becomes that row, elsewhere it becomes the rows' mean under the probabilities (the idea of LegoSLM, arXiv 2505.11352).
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from .types import SoftTokens
from .vocabulary import Vocabulary

SCALE = 20.0
"""Of the cosines in the softmax: what the contrast is trained at."""
SURE = 0.5
"""Probability above which a soft token becomes one row."""


class Readout:
    """The rows of the heard tokens, kept in memory: 25 MB for 11,000 tokens of width 576."""

    def __init__(self, vocabulary: Vocabulary, heard_tokens: Sequence[int]) -> None:
        """`heard_tokens` are the ids that soft tokens may become, at least one."""
        self._rows = vocabulary.rows(heard_tokens)
        self._inverse_norms = 1 / np.maximum(np.linalg.norm(self._rows, axis=1), 1e-6)

    def sharpen(self, soft: SoftTokens) -> SoftTokens:
        """The same number of soft tokens, each a row of the table or a mean of rows."""
        norms = np.maximum(np.linalg.norm(soft.vectors, axis=1, keepdims=True), 1e-6)
        logits = (SCALE / norms * soft.vectors) @ self._rows.T * self._inverse_norms
        weights = np.exp(logits - logits.max(axis=1, keepdims=True))
        probabilities = weights / weights.sum(axis=1, keepdims=True)
        best = probabilities.argmax(axis=1)
        sure = probabilities[np.arange(len(best)), best] > SURE
        vectors = np.where(sure[:, None], self._rows[best], probabilities @ self._rows)
        return replace(soft, vectors=vectors.astype(np.float32))
