"""Reads a window again where the first pass leaves doubt: the likeliest sentences, and those in
which the user's phrases are said, are compared by how likely each whole sentence is, to the
recogniser and to a language model. Knows no samples.

A sentence with one phrase in it is the start of the search for the next.

The beam's own order goes by the mean of a sentence's tokens, which prefers long sentences; here the
sum decides, with the end of the sentence counted.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from heapq import nlargest
from typing import Protocol

from ..interfaces import Step, TextScorer, unwatched
from ..types import Float32, Transcript
from .phrases import NO_PHRASES, PhraseBook

SURE = 0.9
"""The mean probability of the tokens of a first-pass transcript from which it is taken as it
is."""
BEAM = 5
MOST_PHRASES = 3
"""The most phrases that are looked for, one after the other, beyond those of the beam."""
PLACES, LEAST_PLACES = 12, 3
"""The most places of phrases in a sentence that are tried, and the fewest, for each of them."""
TRIED_TOKENS = 200
"""The tokens of all sentences that are tried at once: in a long sentence fewer places are."""
FIRST_TOKEN_NATS, FURTHER_TOKEN_NATS = 2.5, 4.0
"""The natural log of how much likelier a phrase of weight 1 makes a sentence, for its first token
and for each further one: the rarer a name, the more tokens it falls into, and the less the
recogniser believes in it."""
LANGUAGE_MODEL_WEIGHT, TOKEN_NATS = 0.15, 0.15
"""The weight of the language model's log likelihood, and the nats in favour of each token, since
that likelihood prefers short sentences (docs/experiments/042)."""
OTHERS_NATS = 8.0
"""How much less likely than the best, in nats, another sentence may be to be told of."""
DOUBTFUL = 0.85
"""The likelihood below which a word is in doubt (docs/experiments/049)."""


@dataclass(frozen=True)
class Reading:
    """A sentence that a window may hold."""

    text: str
    log_likelihood: float
    """The natural log likelihood of the sentence and its end."""
    tokens: int
    """The number of its tokens, the end among them."""


class WindowReader(Protocol):
    """A decoder of windows: encoder frames [T, D] that end as a window of 30 s ends."""

    def n_best(self, window: Float32, seconds: float, count: int) -> list[Reading]:
        """The likeliest sentences for a window with `seconds` of speech, at most `count`."""
        ...

    def with_phrases(
        self, window: Float32, seconds: float, text: str, phrases: Sequence[str], count: int
    ) -> list[Reading]:
        """Sentences that begin as `text` does and go on with one of `phrases`, at most `count`."""
        ...

    def log_likelihoods(self, window: Float32, texts: Sequence[str]) -> list[float]:
        """The natural log likelihood of each of `texts` for the window, without its end."""
        ...

    def count_tokens(self, text: str) -> int:
        """The number of tokens of `text`."""
        ...


def leaves_doubt(first: Transcript) -> bool:
    """Whether a first-pass transcript is to be compared with other sentences."""
    return bool(first.text) and first.mean_probability < SURE


def read_again(
    reader: WindowReader,
    window: Float32,
    seconds: float,
    first: Transcript,
    phrases: PhraseBook = NO_PHRASES,
    score_texts: TextScorer | None = None,
    step: Step = unwatched,
) -> Transcript:
    """The best sentence for the window of encoder frames [T, D], which holds `seconds` of speech
    and was read as `first`; that, where the beam finds none. `score_texts` is the language model's
    word. `step` is called between parts of the work. Raises what `reader` and `score_texts` raise.
    """
    compared = reader.n_best(window, seconds, BEAM)
    if not compared:
        return first
    scores = _scores(compared, reader, phrases, score_texts, step)
    for _ in range(MOST_PHRASES if phrases else 0):
        step()
        known = {one.text for one in compared}
        best = compared[scores.index(max(scores))]
        places = max(LEAST_PLACES, min(PLACES, TRIED_TOKENS // best.tokens))
        others = {
            one.text: one
            for one in (
                *reader.with_phrases(window, seconds, best.text, phrases.texts, places),
                *_meant(reader, window, best, phrases),
            )
            if one.text not in known
        }
        promising = nlargest(
            BEAM,
            others.values(),
            key=lambda one: one.log_likelihood + _bonus(reader, phrases, one.text),
        )
        if not promising:
            break
        most = max(scores)
        compared += promising
        scores += _scores(promising, reader, phrases, score_texts, step)
        if max(scores) <= most:
            break
    ranked = sorted(zip(scores, compared, strict=True), key=lambda one: -one[0])
    best = ranked[0][1]
    doubtful = doubtful_words(best.text, [one.text for one in compared], scores)
    rest = tuple(one.text for score, one in ranked[1:] if score > ranked[0][0] - OTHERS_NATS)
    return Transcript(best.text, best.log_likelihood, best.tokens, doubtful=doubtful, others=rest)


def doubtful_words(best: str, texts: Sequence[str], scores: Sequence[float]) -> tuple[int, ...]:
    """The places of the words of `best`, from 0, that are less likely than DOUBTFUL to have been
    said, where one of `texts` was and `scores` are their log likelihoods but for a constant.

    A word is as likely as the sentences together that have it in its place (Mangu, Brill and
    Stolcke 2000, without times).
    """
    words = _plain_words(best)
    weights = [math.exp(score - max(scores)) for score in scores]
    likely = [0.0] * len(words)
    for text, weight in zip(texts, weights, strict=True):
        matcher = SequenceMatcher(None, words, _plain_words(text), autojunk=False)
        for block in matcher.get_matching_blocks():
            for place in range(block.a, block.a + block.size):
                likely[place] += weight / sum(weights)
    return tuple(place for place, share in enumerate(likely) if share < DOUBTFUL)


def _plain_words(text: str) -> list[str]:
    return ["".join(filter(str.isalnum, word.casefold())) for word in text.split()]


def _scores(
    readings: Sequence[Reading],
    reader: WindowReader,
    phrases: PhraseBook,
    score_texts: TextScorer | None,
    step: Step,
) -> list[float]:
    """The score of each of `readings`, in nats."""
    likely = score_texts([one.text for one in readings], step) if score_texts else None
    return [
        one.log_likelihood
        + _bonus(reader, phrases, one.text)
        + (LANGUAGE_MODEL_WEIGHT * likely[place] + TOKEN_NATS * one.tokens if likely else 0.0)
        for place, one in enumerate(readings)
    ]


def _bonus(reader: WindowReader, phrases: PhraseBook, text: str) -> float:
    """The nats in favour of `text` for the phrases in it."""
    return sum(
        phrase.weight
        * (FIRST_TOKEN_NATS + FURTHER_TOKEN_NATS * (reader.count_tokens(phrase.text) - 1))
        for phrase in phrases.phrases_in(text)
    )


def _meant(
    reader: WindowReader, window: Float32, reading: Reading, phrases: PhraseBook
) -> list[Reading]:
    """`reading` with a phrase in place of what was heard in recordings of it, which ends as likely
    as before."""
    texts = phrases.meant_by(reading.text)
    if not texts:
        return []
    before, *likelihoods = reader.log_likelihoods(window, [reading.text, *texts])
    return [
        replace(reading, text=text, log_likelihood=reading.log_likelihood + likelihood - before)
        for text, likelihood in zip(texts, likelihoods, strict=True)
    ]
