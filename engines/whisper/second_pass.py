"""Reads a window again where the first pass leaves doubt: the likeliest sentences, and the
user's phrases in place of what is spelled like them, are compared by how likely each whole sentence
is, to the recogniser and to a language model. Knows no samples.

The beam's own order goes by the mean of a sentence's tokens, which prefers long sentences; here the
sum decides, with the end of the sentence counted.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from ..interfaces import Step, TextScorer, unwatched
from ..types import Float32, Transcript
from .phrases import NO_PHRASES, PhraseBook

SURE = 0.9
"""The mean probability of the tokens of a first-pass transcript from which it is taken as it
is."""
BEAM = 5
MOST_REPLACED = 12
"""The most sentences with a phrase in place of other words that are compared."""
FIRST_TOKEN_NATS, FURTHER_TOKEN_NATS = 2.0, 4.0
"""The natural log of how much likelier a phrase of weight 1 makes a sentence, for its first token
and for each further one: the rarer a name, the more tokens it falls into, and the less the
recogniser believes in it."""
LANGUAGE_MODEL_WEIGHT, TOKEN_NATS = 0.15, 0.15
"""The weight of the language model's log likelihood, and the nats in favour of each token, since
that likelihood prefers short sentences (docs/experiments/042)."""


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

    def count_tokens(self, text: str) -> int:
        """The number of tokens of `text`."""
        ...

    def log_likelihoods(self, window: Float32, texts: Sequence[str]) -> list[float]:
        """The natural log likelihood of each of `texts` for the window, without its end."""
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
    word. Raises what `reader` and `score_texts` raise."""
    readings = reader.n_best(window, seconds, BEAM)
    if phrases:
        readings += _replaced(reader, window, readings, phrases)
    if not readings:
        return first
    likely = score_texts([one.text for one in readings], step) if score_texts else None
    scores = [
        one.log_likelihood
        + _bonus(reader, phrases, one.text)
        + (LANGUAGE_MODEL_WEIGHT * likely[place] + TOKEN_NATS * one.tokens if likely else 0.0)
        for place, one in enumerate(readings)
    ]
    best = readings[scores.index(max(scores))]
    return Transcript(best.text, best.log_likelihood, best.tokens)


def _bonus(reader: WindowReader, phrases: PhraseBook, text: str) -> float:
    """The nats in favour of `text` for the phrases in it."""
    return sum(
        phrase.weight
        * (FIRST_TOKEN_NATS + FURTHER_TOKEN_NATS * (reader.count_tokens(phrase.text) - 1))
        for phrase in phrases.phrases_in(text)
    )


def _replaced(
    reader: WindowReader, window: Float32, readings: Sequence[Reading], phrases: PhraseBook
) -> list[Reading]:
    """The sentences of `readings` with a phrase in place of some words. Their ends are as likely as
    those of the sentences that they are made of."""
    found = [
        (one.similarity, one.text, reading)
        for reading in readings
        for one in phrases.replacements(reading.text, MOST_REPLACED)
    ]
    made = {text: reading for _, text, reading in sorted(found, key=lambda one: one[0])}
    taken = list(made.items())[-MOST_REPLACED:]
    if not taken:
        return []
    before = list({reading.text: reading for _, reading in taken}.values())
    scored = reader.log_likelihoods(
        window, [*(reading.text for reading in before), *(text for text, _ in taken)]
    )
    of_before = {
        reading.text: likelihood for reading, likelihood in zip(before, scored, strict=False)
    }
    return [
        replace(
            reading,
            text=text,
            log_likelihood=reading.log_likelihood + likelihood - of_before[reading.text],
        )
        for (text, reading), likelihood in zip(taken, scored[len(before) :], strict=True)
    ]
