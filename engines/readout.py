"""Reads units out: from where the projector landed to the token that it most probably meant. Knows the table, no audio.

A projector trained by regression lands short of the row that it means, and a small language model that reads such a vector
answers something else entirely (docs/adr/0005). So each unit becomes a row of the embedding table, among the tokens that the
projector ever met in training: it cannot mean another. A token's score is how near the unit is to its row and to its
pronunciation key.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from .errors import AttuneError
from .types import Float32, SoftTokens, Units
from .vocabulary import Vocabulary


class Readout:
    """The rows and keys of the heard tokens, kept in memory: 62 MB for 22,000 tokens of width 576 + 128."""

    def __init__(self, vocabulary: Vocabulary, heard_tokens: Sequence[int], keys: Float32, threads: int) -> None:
        """`heard_tokens` are the ids that units may become, `keys` [n, K] what each sounds like.

        Raises AttuneError for no heard tokens, for others than exist, or for another number of keys.
        """
        if (
            not heard_tokens
            or not 0 <= min(heard_tokens) <= max(heard_tokens) < vocabulary.size
            or len(keys) != len(heard_tokens)
        ):
            raise AttuneError(
                "the projector does not say which tokens it heard; choose another with `attune generations promote`"
            )
        self._vocabulary = vocabulary
        self._heard_tokens, self._keys = list(heard_tokens), keys
        self._place = {token: place for place, token in enumerate(heard_tokens)}
        table = np.concatenate([_unit(vocabulary.rows(heard_tokens)), keys], axis=1)
        spelled = [vocabulary.detokenize([token]).casefold() for token in heard_tokens]
        self._words = np.unique(spelled, return_inverse=True)[1]
        """Which tokens are the same word but for capitals: nobody hears those, so they share what is probable."""
        # numpy's own threads are off (they spin on the language model's cores), so the table is shared out here.
        self._shares = np.array_split(table, threads)
        self._threads = ThreadPoolExecutor(threads, "readout")

    def rows_and_keys(self, tokens: Sequence[int]) -> Float32:
        """[N, E + K] embedding rows and pronunciation keys of `tokens` side by side; no key (zeros) where one was never heard."""
        keys = np.zeros((len(tokens), self._keys.shape[1]), np.float32)
        for index, token in enumerate(tokens):
            if token in self._place:
                keys[index] = self._keys[self._place[token]]
        return np.concatenate([self._vocabulary.rows(tokens), keys], axis=1)

    def read(self, units: Units, draft: Sequence[int]) -> SoftTokens:
        """As many soft tokens as units, each exactly a row of the embedding table: a heard token's, or that of one of `draft`,
        which a projector copies without having heard it. With the log probability of each as a word, by a softmax over the
        scores."""
        scores = list(self._threads.map(lambda share: units.vectors @ share.T, self._shares))
        only_drafted = [token for token in dict.fromkeys(draft) if token not in self._place]
        width = self._vocabulary.width
        scores.append(units.vectors[:, :width] @ _unit(self._vocabulary.rows(only_drafted)).T)
        all_scores, choices = np.concatenate(scores, axis=1), self._heard_tokens + only_drafted
        words = np.concatenate([self._words, self._words.max() + 1 + np.arange(len(only_drafted))])
        tokens, log_probabilities = [], []
        for of_unit in all_scores:
            shares = np.exp(of_unit - of_unit.max())
            of_word = np.bincount(words, shares)
            word = of_word.argmax()
            tokens.append(choices[int(np.where(words == word, of_unit, -np.inf).argmax())])
            log_probabilities.append(min(0.0, float(np.log(of_word[word] / shares.sum()))))
        return SoftTokens(self._vocabulary.rows(tokens), units.quantity, tuple(tokens), tuple(log_probabilities))


def _unit(rows: Float32) -> Float32:
    lengths: Float32 = np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-6)
    return rows / lengths
