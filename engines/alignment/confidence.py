"""How sure a reading is: probabilities, fitted by a round to what turned out right and wrong. Knows
numbers, no audio.

A personal round makes its projector snap words that it never met onto words that it did ("Call
Patricia" onto "Call Robert"). What gives such a word away is the softmax over the cosines between
its soft token and the rows of all known tokens: a word that was learnt leaves no second choice.
Logistic regression (`calibration/evaluation/fit_confidence.py`) makes probabilities of it.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from difflib import SequenceMatcher

from pydantic import Field

from ..schema import Frozen
from ..types import SoftTokens


class Fit(Frozen):
    """Two logistic regressions: of a token's being right, and of every word's."""

    token_offset: float
    token_slope: float
    """Of the token's log odds."""
    offset: float
    weights: tuple[float, ...]
    """Of `features` or `rescored_features`, in its order."""


class Confidence(Frozen):
    """How far a generation's readings are to be trusted."""

    alone: Fit
    """For one pass of the projector."""
    rescored: Fit | None = None
    """For the best sentence of the n-best list; None where there were too few to tell."""
    rescoring_weights: tuple[float, ...] = Field((), alias="witness_weights")
    """By which the sentences of the n-best list are compared, in the order of `rescoring.Feature`;
    there where `rescored` is."""
    threshold: float
    """Probability, 0 to 1, below which nothing is done on the strength of a reading."""


def features(reading: SoftTokens) -> tuple[float, float, float]:
    """What one pass shows of itself: its least sure token's log odds, the mean of all, and by how
    many its tokens differ from the quantity that was heard.

    Raises ValueError for soft tokens that no vocabulary head made.
    """
    if not reading.log_probabilities or reading.tokens is None:
        raise ValueError("these soft tokens were not made by a vocabulary head")
    sure = [log_odds(value) for value in reading.log_probabilities]
    return min(sure), sum(sure) / len(sure), abs(reading.quantity - len(reading.tokens))


def rescored_features(
    reading: SoftTokens, first: SoftTokens, first_pass: Sequence[int]
) -> tuple[float, ...]:
    """What speaks for the best sentence of the n-best list: the features of the one pass before it,
    its own least sure token's log odds, and how much of it stands in that pass and in the
    first-pass transcript (0 to 1 each)."""
    least, _, _ = features(reading)
    tokens = reading.tokens or ()
    return (
        *features(first),
        least,
        _in_common(tokens, first.tokens or ()),
        _in_common(tokens, first_pass),
    )


def weigh(reading: SoftTokens, found: Sequence[float], fit: Fit, threshold: float) -> SoftTokens:
    """The same reading with the probability, by `fit` and the features `found`, that each token is
    right, and that every word is; sure from `threshold` on."""
    utterance = _logistic(
        fit.offset + sum(weight * value for weight, value in zip(fit.weights, found, strict=True))
    )
    tokens = tuple(
        _logistic(fit.token_offset + fit.token_slope * log_odds(value))
        for value in reading.log_probabilities or ()
    )
    return replace(reading, confidences=tokens, confidence=utterance, sure=utterance >= threshold)


def _in_common(tokens: Sequence[int], others: Sequence[int]) -> float:
    return SequenceMatcher(None, tuple(tokens), tuple(others), autojunk=False).ratio()


def log_odds(log_probability: float) -> float:
    """Of a natural log probability; at most 14, where float32 ends."""
    return log_probability - math.log(max(-math.expm1(log_probability), 1e-6))


def _logistic(value: float) -> float:
    return 1 / (1 + math.exp(-max(-60.0, min(60.0, value))))
