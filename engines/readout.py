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

SCALE = 20.0
"""Of a cosine before the softmax: where the contrastive loss of training starts."""


class Readout:
    """The rows of the heard tokens, kept in memory: 25 MB for 11,000 tokens of width 576."""

    def __init__(self, vocabulary: Vocabulary, heard_tokens: Sequence[int], threads: int) -> None:
        """`heard_tokens` are the ids that soft tokens may become. Raises AttuneError for none, or for others than exist."""
        if not heard_tokens or not 0 <= min(heard_tokens) <= max(heard_tokens) < vocabulary.size:
            raise AttuneError(
                "the projector does not say which tokens it heard; choose another with `attune generations promote`"
            )
        self._heard_tokens, self._heard = list(heard_tokens), frozenset(heard_tokens)
        self._rows = vocabulary.rows(heard_tokens)
        # numpy's own threads are off (they spin on the language model's cores), so the rows are shared out here.
        self._shares = np.array_split(_unit(self._rows), threads)
        self._threads = ThreadPoolExecutor(threads, "readout")

    def sharpen(self, soft: SoftTokens, draft: Sequence[int], draft_rows: Float32) -> SoftTokens:
        """The same number of soft tokens, each exactly a row of the embedding table: a heard token's, or one of `draft`'s (whose
        rows are `draft_rows` [N, E]), which a projector copies without having heard it. With the log probability of each, by a
        softmax over the cosines times SCALE."""
        vectors = _unit(soft.vectors)
        cosines = list(self._threads.map(lambda share: vectors @ share.T, self._shares))
        # A token twice among the choices would share its probability with itself.
        first_at = {token: place for place, token in reversed(list(enumerate(draft))) if token not in self._heard}
        only_drafted, places = list(first_at), list(first_at.values())
        cosines.append(vectors @ _unit(draft_rows[places]).T)
        scores = SCALE * np.concatenate(cosines, axis=1)
        heard, best = len(self._heard_tokens), scores.argmax(axis=1)
        highest = scores[np.arange(len(best)), best]
        log_probabilities = -np.log(np.exp(scores - highest[:, None]).sum(axis=1))
        rows = [self._rows[index] if index < heard else draft_rows[places[index - heard]] for index in best]
        tokens = tuple(self._heard_tokens[index] if index < heard else only_drafted[index - heard] for index in best)
        return replace(soft, vectors=np.stack(rows), tokens=tokens, log_probabilities=tuple(log_probabilities.tolist()))


def _unit(rows: Float32) -> Float32:
    lengths: Float32 = np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-6)
    return rows / lengths
