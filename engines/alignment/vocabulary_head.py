"""The vocabulary head: makes of each unit the token that it most probably means. Knows the
embedding table, no audio.

A projector trained by regression lands short of the row that it means, and a small language model
that reads such a vector answers something else entirely (docs/adr/0005). So each unit becomes a row
of the embedding table, among the tokens that the projector met in training: it cannot mean another.
A token's score is how near the unit is to its row and to its pronunciation key.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import AttuneError
from ..llm.vocabulary import Vocabulary
from ..types import Float32, SoftTokens, Units

_MOST_PROBABLE = 16
"""The number of tokens in an expected embedding; the others have next to no weight."""


class VocabularyHead:
    """The rows and keys of the known tokens, kept in memory: 62 MB for 22,000 tokens of width 576 +
    128."""

    def __init__(
        self, vocabulary: Vocabulary, known_tokens: Sequence[int], keys: Float32, threads: int
    ) -> None:
        """`known_tokens` are the ids that units may become, `keys` [n, K] their pronunciation keys.

        Raises AttuneError where there are no known tokens, where one is outside the vocabulary, or
        where their number differs from that of the keys.
        """
        if (
            not known_tokens
            or not 0 <= min(known_tokens) <= max(known_tokens) < vocabulary.size
            or len(keys) != len(known_tokens)
        ):
            raise AttuneError(
                "the projector does not say which tokens it knows; choose another with `attune"
                " generations promote`"
            )
        self._vocabulary = vocabulary
        self._known_tokens = list(known_tokens)
        self._place = {token: place for place, token in enumerate(known_tokens)}
        table = np.concatenate([_unit(vocabulary.rows(known_tokens)), keys], axis=1)
        self._keys = table[:, vocabulary.width :]
        spelled = [vocabulary.detokenize([token]).casefold() for token in known_tokens]
        self._words = np.unique(spelled, return_inverse=True)[1]
        """The number of each token's word: tokens that differ only in capitals, which cannot be
        heard, share one number and add up their probabilities."""
        # numpy's own threads are off (they spin on the language model's cores), so the table is
        # shared out here.
        self._shares = np.array_split(table, threads)
        self._threads = ThreadPoolExecutor(threads, "head")

    def rows_and_keys(self, tokens: Sequence[int]) -> Float32:
        """The embedding rows and pronunciation keys of `tokens` side by side, [N, E + K]; the key
        of an unknown token is zeros."""
        keys = np.zeros((len(tokens), self._keys.shape[1]), np.float32)
        for index, token in enumerate(tokens):
            if token in self._place:
                keys[index] = self._keys[self._place[token]]
        return np.concatenate([self._vocabulary.rows(tokens), keys], axis=1)

    def scores(self, units: Units, first_pass: Sequence[int]) -> "TokenLogProbabilities":
        """The log probability of each known token for each unit; and of each token of `first_pass`,
        which may be copied without being known."""
        scores = list(self._threads.map(lambda share: units.vectors @ share.T, self._shares))
        only_in_first_pass = [
            token for token in dict.fromkeys(first_pass) if token not in self._place
        ]
        width = self._vocabulary.width
        scores.append(units.vectors[:, :width] @ _unit(self._vocabulary.rows(only_in_first_pass)).T)
        table = np.concatenate(scores, axis=1)
        highest = table.max(axis=1, keepdims=True)
        table -= highest + np.log(np.exp(table - highest).sum(axis=1, keepdims=True))
        places = self._place | {
            token: len(self._known_tokens) + more for more, token in enumerate(only_in_first_pass)
        }
        words = np.concatenate(
            [self._words, self._words.max() + 1 + np.arange(len(only_in_first_pass))]
        )
        return TokenLogProbabilities(
            [*self._known_tokens, *only_in_first_pass], places, words, table
        )

    def read(self, units: Units, first_pass: Sequence[int]) -> SoftTokens:
        """One soft token for each unit, exactly a row of the embedding table: that of its most
        probable word, with the log probability of that word. See `scores` for `first_pass`."""
        return self.most_probable(self.scores(units, first_pass), units.quantity)

    def most_probable(self, scores: "TokenLogProbabilities", quantity: float) -> SoftTokens:
        """The soft tokens of `read`, for units whose scores are known already."""
        tokens, log_probabilities = scores.best_words()
        return SoftTokens(self._vocabulary.rows(tokens), quantity, tokens, log_probabilities)


@dataclass(frozen=True)
class TokenLogProbabilities:
    """The log probabilities of the tokens that each unit may mean."""

    tokens: list[int]
    places: dict[int, int]
    """The column of each of `tokens`."""
    words: NDArray[np.int64]
    """[n] the number of each token's word; tokens that differ only in capitals share one."""
    table: Float32
    """[U, n] natural log probabilities."""

    def best_words(self) -> tuple[tuple[int, ...], tuple[float, ...]]:
        """For each unit, the most probable token of the most probable word, and the log probability
        of that word."""
        tokens, log_probabilities = [], []
        for of_unit in self.table:
            of_word = np.bincount(self.words, np.exp(of_unit))
            word = of_word.argmax()
            tokens.append(self.tokens[int(np.where(self.words == word, of_unit, -np.inf).argmax())])
            log_probabilities.append(min(0.0, float(np.log(of_word[word]))))
        return tuple(tokens), tuple(log_probabilities)

    def expected_embeddings(self, vocabulary: Vocabulary) -> Float32:
        """The expected embeddings [U, E]: for each unit the mean of the rows of the tokens that it
        may mean, weighted by their probabilities."""
        most = min(_MOST_PROBABLE, len(self.tokens))
        best = np.argpartition(-self.table, most - 1, axis=1)[:, :most]
        weights = np.exp(np.take_along_axis(self.table, best, axis=1))
        weights /= weights.sum(axis=1, keepdims=True)
        rows = vocabulary.rows([self.tokens[place] for place in best.ravel()]).reshape(
            *best.shape, -1
        )
        expected: Float32 = np.einsum("uk,uke->ue", weights, rows).astype(np.float32)
        return expected

    def choices(self, most: int, within: float) -> list[list[tuple[int, float]]]:
        """For each unit up to `most` tokens, the best first, whose log probability is at most
        `within` below that of the best."""
        most = min(most, len(self.tokens))
        found = []
        for of_unit in self.table:
            best = np.argpartition(-of_unit, most - 1)[:most]
            best = best[np.argsort(-of_unit[best], kind="stable")]
            near = best[of_unit[best] >= of_unit[best[0]] - within]
            found.append([(self.tokens[place], float(of_unit[place])) for place in near])
        return found

    def of(self, sentence: Sequence[int], least: float) -> float:
        """The summed log probability of `sentence`, one token for each unit; `least` for a token
        that is less probable or not among `tokens`."""
        values = (
            self.table[unit, self.places[token]] if token in self.places else least
            for unit, token in enumerate(sentence)
        )
        return float(sum(max(least, value) for value in values))


def _unit(rows: Float32) -> Float32:
    lengths: Float32 = np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-6)
    return rows / lengths
