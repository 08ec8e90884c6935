"""Reads soft tokens out: from where the projector landed to the token that it most probably meant. Knows the table, no audio.

A projector trained by regression lands short of the row that it means, and a small language model that reads such a vector
answers something else entirely (docs/adr/0005). So each soft token becomes the nearest row, by cosine, among the tokens that the
projector ever met in training: it cannot land on another.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np

from .errors import AttuneError
from .types import Float32, SoftTokens
from .vocabulary import Vocabulary


class Readout:
    """The rows of the heard tokens, kept in memory: 25 MB for 11,000 tokens of width 576."""

    def __init__(self, vocabulary: Vocabulary, heard_tokens: Sequence[int], threads: int) -> None:
        """`heard_tokens` are the ids that soft tokens may become. Raises AttuneError for none, or for others than exist."""
        if not heard_tokens or not 0 <= min(heard_tokens) <= max(heard_tokens) < vocabulary.size:
            raise AttuneError(
                "the projector does not say which tokens it heard; choose another with `attune generations promote`"
            )
        self._heard_tokens = list(heard_tokens)
        self._rows = vocabulary.rows(heard_tokens)
        # numpy's own threads are off (they spin on the language model's cores), so the rows are shared out here.
        self._shares = np.array_split(_unit(self._rows), threads)
        self._threads = ThreadPoolExecutor(threads, "readout")

    def sharpen(self, soft: SoftTokens, draft: Sequence[int], draft_rows: Float32) -> SoftTokens:
        """The same number of soft tokens, each exactly a row of the embedding table: a heard token's, or one of `draft`'s (whose
        rows are `draft_rows` [N, E]), which a projector copies without having heard it."""
        cosines = list(self._threads.map(lambda share: soft.vectors @ share.T, self._shares))
        cosines.append(soft.vectors @ _unit(draft_rows).T)
        heard = len(self._heard_tokens)
        best = np.concatenate(cosines, axis=1).argmax(axis=1).tolist()
        rows = [self._rows[index] if index < heard else draft_rows[index - heard] for index in best]
        tokens = tuple(self._heard_tokens[index] if index < heard else draft[index - heard] for index in best)
        return replace(soft, vectors=np.stack(rows), tokens=tokens)


def _unit(rows: Float32) -> Float32:
    lengths: Float32 = np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-6)
    return rows / lengths
