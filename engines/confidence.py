"""How sure a reading is: probabilities, fitted by a round to what turned out right and wrong. Knows numbers, no audio.

A personal round makes its projector snap words that it never met onto words that it did ("Call Patricia" onto "Call Robert").
What gives such a word away is the softmax over the cosines between its soft token and the rows of all heard tokens: a word that
was learnt leaves no second choice. Logistic regression (`calibration/reliability.py`) makes probabilities of it.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from difflib import SequenceMatcher

from pydantic import BaseModel, ConfigDict

from .types import SoftTokens


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Fit(_Frozen):
    """Two logistic regressions: of a token's being right, and of every word's."""

    token_offset: float
    token_slope: float
    """Of the token's log odds."""
    offset: float
    weights: tuple[float, ...]
    """Of `evidence`, in its order."""


class Confidence(_Frozen):
    """How far a generation's readings are to be trusted."""

    alone: Fit
    """For readings without a draft."""
    with_draft: Fit | None = None
    """None for a projector that reads no drafts."""
    threshold: float
    """Probability, 0 to 1, below which nothing is done on the strength of a reading."""


def evidence(reading: SoftTokens, draft: Sequence[int]) -> tuple[float, float, float, float]:
    """What speaks for an utterance: its least sure token's log odds, the mean of all, how far the quantity is from a whole number
    (0 to 0.5), and how much of it stands in the draft (0 to 1; 0 without a draft).

    Raises ValueError for soft tokens that were not read out.
    """
    if reading.log_probabilities is None or reading.tokens is None:
        raise ValueError("these soft tokens were not read out")
    sure = [log_odds(value) for value in reading.log_probabilities]
    apart = abs(reading.quantity - round(reading.quantity))
    agreed = SequenceMatcher(None, reading.tokens, tuple(draft), autojunk=False).ratio() if draft else 0.0
    return min(sure), sum(sure) / len(sure), apart, agreed


def weigh(reading: SoftTokens, draft: Sequence[int], confidence: Confidence) -> SoftTokens:
    """The same reading with the probability that each token, and that every word, is right."""
    fit = confidence.with_draft if draft and confidence.with_draft is not None else confidence.alone
    found = evidence(reading, draft)
    utterance = _logistic(fit.offset + sum(weight * value for weight, value in zip(fit.weights, found, strict=True)))
    tokens = tuple(_logistic(fit.token_offset + fit.token_slope * log_odds(value)) for value in reading.log_probabilities or ())
    return replace(reading, confidences=tokens, confidence=utterance, sure=utterance >= confidence.threshold)


def log_odds(log_probability: float) -> float:
    """Of a natural log probability; at most 14, where float32 ends."""
    return log_probability - math.log(max(-math.expm1(log_probability), 1e-6))


def _logistic(value: float) -> float:
    return 1 / (1 + math.exp(-max(-60.0, min(60.0, value))))
