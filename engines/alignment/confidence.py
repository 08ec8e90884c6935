"""The confidence in a reading: probabilities, fitted by a round to labelled readings. Knows
numbers, no audio.

A personal round makes its projector snap words that it never met onto words that it did ("Call
Patricia" onto "Call Robert"). The softmax over the cosines between a soft token and the rows of all
known tokens gives such a word away: a word that was learnt leaves no second choice. Logistic
regression (`calibration/evaluation/fit_confidence.py`) turns this into probabilities.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from difflib import SequenceMatcher
from typing import TYPE_CHECKING

from pydantic import Field

from ..schema import Frozen

if TYPE_CHECKING:  # whoever only reads a card needs no numpy
    from ..types import SoftTokens


class Fit(Frozen):
    """Two logistic regressions: of whether a token is right, and of whether every word is."""

    token_offset: float
    token_slope: float
    """The weight of a token's log odds."""
    offset: float
    weights: tuple[float, ...]
    """The weights of `features` or `rescored_features`, in the order of what those return."""


class Confidence(Frozen):
    """The fitted confidence in a generation's readings."""

    alone: Fit
    """The fit for readings of one projector pass."""
    rescored: Fit | None = None
    """The fit for readings that were rescored; None where there were too few to fit it."""
    rescoring_weights: tuple[float, ...] = Field((), alias="witness_weights")
    """The weights of the features that rescoring compares, in the order of `rescoring.Feature`;
    empty where `rescored` is None."""
    threshold: float
    """The probability, 0 to 1, below which a reading is in doubt."""


def features(reading: "SoftTokens") -> tuple[float, float, float]:
    """The features of a reading of one projector pass: the log odds of its least sure token, the
    mean log odds of all, and the difference between its number of tokens and the quantity.

    Raises ValueError for soft tokens that no vocabulary head made.
    """
    if not reading.log_probabilities or reading.tokens is None:
        raise ValueError("these soft tokens were not made by a vocabulary head")
    sure = [log_odds(value) for value in reading.log_probabilities]
    return min(sure), sum(sure) / len(sure), abs(reading.quantity - len(reading.tokens))


def rescored_features(
    reading: "SoftTokens", first: "SoftTokens", first_pass: Sequence[int]
) -> tuple[float, ...]:
    """The features of the best sentence of an n-best list: those of `first`, the projector pass
    before it; the log odds of its own least sure token; and how similar its tokens are to those of
    that pass and to the first-pass transcript (0 to 1 each)."""
    least, _, _ = features(reading)
    tokens = reading.tokens or ()
    return (
        *features(first),
        least,
        _in_common(tokens, first.tokens or ()),
        _in_common(tokens, first_pass),
    )


def weigh(
    reading: "SoftTokens", found: Sequence[float], fit: Fit, threshold: float
) -> "SoftTokens":
    """`reading` with the probability that each token is right, and that every word is, by `fit` and
    the features `found`. It is sure from `threshold` on."""
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
    """The log odds of a natural log probability; at most 14, where float32 ends."""
    return log_probability - math.log(max(-math.expm1(log_probability), 1e-6))


def _logistic(value: float) -> float:
    return 1 / (1 + math.exp(-max(-60.0, min(60.0, value))))
