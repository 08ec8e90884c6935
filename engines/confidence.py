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
    """For readings with a draft; None for a projector that reads none."""
    draft: Fit | None = None
    """For drafts taken as they are; None where nobody takes them so."""
    threshold: float
    """Probability, 0 to 1, below which nothing is done on the strength of a reading."""


def evidence(reading: SoftTokens, beside: Sequence[int]) -> tuple[float, float, float, float]:
    """What speaks for an utterance: its least sure token's log odds, the mean of all, by how many its tokens differ from the
    quantity that was heard, and how much of it stands in `beside` as well (0 to 1; 0 where that is empty).

    Raises ValueError for soft tokens that were not read out.
    """
    if not reading.log_probabilities or reading.tokens is None:
        raise ValueError("these soft tokens were not read out")
    sure = [log_odds(value) for value in reading.log_probabilities]
    apart = abs(reading.quantity - len(reading.tokens))
    agreed = SequenceMatcher(None, reading.tokens, tuple(beside), autojunk=False).ratio() if beside else 0.0
    return min(sure), sum(sure) / len(sure), apart, agreed


def weigh(reading: SoftTokens, beside: Sequence[int], fit: Fit, threshold: float) -> SoftTokens:
    """The same reading with the probability, by `fit`, that each token, and that every word, is right; sure from `threshold` on.

    `beside` has the tokens of another witness: the draft for what a projector read, what it read for a draft.
    """
    found = evidence(reading, beside)
    utterance = _logistic(fit.offset + sum(weight * value for weight, value in zip(fit.weights, found, strict=True)))
    tokens = tuple(_logistic(fit.token_offset + fit.token_slope * log_odds(value)) for value in reading.log_probabilities or ())
    return replace(reading, confidences=tokens, confidence=utterance, sure=utterance >= threshold)


def log_odds(log_probability: float) -> float:
    """Of a natural log probability; at most 14, where float32 ends."""
    return log_probability - math.log(max(-math.expm1(log_probability), 1e-6))


def _logistic(value: float) -> float:
    return 1 / (1 + math.exp(-max(-60.0, min(60.0, value))))
