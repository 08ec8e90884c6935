"""Fits the confidence in a generation's readings, and measures how well it is calibrated. Knows no
audio.

The fit is a logistic regression on features of a reading (`engines/alignment/confidence.py`), over
labelled utterances that were never trained on: the user's own, and the retention set, whose many
errors show what wrong readings look like.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from engines.alignment.confidence import (
    Confidence,
    Fit,
    features,
    log_odds,
    rescored_features,
    weigh,
)
from engines.alignment.decoder import AlignedDecoder
from engines.alignment.rescoring import NBestList
from engines.alignment.text_normalisation import spoken_tokens
from engines.llm.vocabulary import Vocabulary
from engines.types import Float32, SoftTokens, Transcript

from .fit_rescoring import fit_rescoring_weights
from .newton import Numbers, minimise_by_newton
from .text_scores import word_errors

LEAST_READINGS = 20
"""The fewest readings that a fit needs."""
PASSING = 0.97
"""The share of the user's own rightly read utterances that the threshold lets pass, after rescoring
where there is any."""
_STILL = 1e-6
_HIGHEST_THRESHOLD, _LOWEST_THRESHOLD = 0.95, 0.3
_RIDGE = 0.5
"""The ridge on the summed losses, a standard normal prior on the weights."""
_INHERITED_RIDGE = 5.0
"""The ridge towards an inherited fit. A round has few readings that rescoring left wrong (14 of a
second atypical speaker's 65), from which alone it would learn that everything is right
(docs/experiments/012)."""


class Way(Enum):
    """The way in which an utterance was read."""

    ALONE = "alone"
    """By one projector pass."""
    RESCORED = "rescored"
    """By the best sentence of the n-best list."""


@dataclass(frozen=True)
class DecodedExample:
    """A labelled utterance, decoded in both ways, before its confidence is known."""

    text: str
    own: bool
    """Whether the user said it; otherwise it is of the retention set."""
    alone: SoftTokens
    n_best: NBestList


@dataclass(frozen=True)
class Reading:
    """One reading of a labelled utterance."""

    way: Way
    soft: SoftTokens
    features: tuple[float, ...]
    """The features that the confidence is fitted to."""
    right_tokens: tuple[bool, ...]
    right: bool
    """Whether every word was read right."""
    own: bool
    """Whether the user said it; otherwise it is of the retention set."""


def right_tokens(read: Sequence[int], label: Sequence[int]) -> tuple[bool, ...]:
    """Whether the label has each token of `read`, in the longest matching order."""
    right = [False] * len(read)
    for block in SequenceMatcher(None, read, label, autojunk=False).get_matching_blocks():
        right[block.a : block.a + block.size] = [True] * block.size
    return tuple(right)


def decode_example(
    decoder: AlignedDecoder,
    frames: Float32,
    first_pass: Callable[[], Transcript],
    text: str,
    *,
    own: bool,
) -> DecodedExample:
    """Decode the [T, D] `frames` of an utterance whose label is `text`; `first_pass` is called
    where the projector reads a first-pass transcript."""
    passes = decoder.passes(frames)
    return DecodedExample(text, own, passes.alone, decoder.n_best(passes, first_pass))


def learn_confidence(
    decoder: AlignedDecoder, examples: Sequence[DecodedExample], inherited: Confidence | None = None
) -> Confidence | None:
    """Fit the weights of the rescoring features, then the confidence (`fit_confidence`), to
    `examples` that `decoder` decoded."""
    weights = _rescoring_weights(
        examples, decoder.vocabulary, inherited.rescoring_weights if inherited is not None else ()
    )
    return fit_confidence(
        [_readings_of(decoder, example, weights) for example in examples], weights, inherited
    )


def _rescoring_weights(
    examples: Sequence[DecodedExample], vocabulary: Vocabulary, start: tuple[float, ...]
) -> tuple[float, ...]:
    """The weights, near `start`, that rank the n-best lists of `examples` best; `start` where there
    is nothing to learn them from."""
    lists = []
    for example in examples:
        wrong = [
            word_errors(example.text, vocabulary.detokenize(sentence))[0]
            for sentence in example.n_best.sentences
        ]
        lists.append((example.n_best.features, np.array(wrong)))
    return fit_rescoring_weights(lists, start)


def _readings_of(
    decoder: AlignedDecoder, example: DecodedExample, weights: tuple[float, ...]
) -> list[Reading]:
    """The readings of `example`, one for each Way in that order; the rescored one only where there
    are `weights` for its n-best list. The words of its text count as right."""
    vocabulary = decoder.vocabulary
    expected = spoken_tokens(example.text, vocabulary)

    def judged(way: Way, soft: SoftTokens, found: tuple[float, ...]) -> Reading:
        tokens = soft.tokens or ()
        wrong, _ = word_errors(example.text, vocabulary.detokenize(tokens))
        return Reading(way, soft, found, right_tokens(tokens, expected), wrong == 0, example.own)

    alone = judged(Way.ALONE, example.alone, features(example.alone))
    if not weights:
        return [alone]
    near = example.n_best.narrowed(weights)
    best = decoder.best(near, weights)
    return [
        alone,
        judged(Way.RESCORED, best, rescored_features(best, example.alone, near.first_pass)),
    ]


def fit_confidence(
    readings: Sequence[Sequence[Reading]],
    weights: tuple[float, ...],
    inherited: Confidence | None = None,
) -> Confidence | None:
    """The confidence fitted to the `readings` of each utterance, of which the rescored ones were
    made with `weights`. None where fewer than LEAST_READINGS are of one projector pass. The fit of
    rescored readings stays near that of `inherited`.

    The threshold lets PASSING of the user's own rightly read utterances pass; without such
    utterances it is 0.5.
    """
    of_way = {
        way: [reading for of_one in readings for reading in of_one if reading.way is way]
        for way in Way
    }
    near = {Way.RESCORED: inherited.rescored if inherited is not None else None}
    fits = {
        way: _fit(some, near.get(way))
        for way, some in of_way.items()
        if len(some) >= LEAST_READINGS
    }
    if Way.ALONE not in fits:
        return None
    alone = fits[Way.ALONE]
    rescored = fits.get(Way.RESCORED)
    confidence = Confidence(
        alone=alone,
        rescored=rescored,
        rescoring_weights=weights if rescored is not None else (),
        threshold=0.5,
    )
    served = [[reading for reading in of_one if reading.way in fits] for of_one in readings]
    rights = [of_one for of_one in served if of_one and of_one[-1].own and of_one[-1].right]
    if not rights:
        return confidence
    # What the first pass leaves in doubt, the next reading decides: an utterance passes where
    # either does.
    own = [
        max(weigh(one.soft, one.features, fits[one.way], 0.5).confidence or 0.0 for one in of_one)
        for of_one in rights
    ]
    threshold = float(np.clip(np.quantile(own, 1 - PASSING), _LOWEST_THRESHOLD, _HIGHEST_THRESHOLD))
    return confidence.model_copy(update={"threshold": threshold})


def _fit(readings: Sequence[Reading], near: Fit | None) -> Fit:
    of_tokens = [
        (log_odds(value), right)
        for reading in readings
        for value, right in zip(
            reading.soft.log_probabilities or (), reading.right_tokens, strict=True
        )
    ]
    token_offset, (token_slope,) = logistic_regression(
        np.array([[value] for value, _ in of_tokens]), np.array([right for _, right in of_tokens])
    )
    offset, weights = logistic_regression(
        np.array([reading.features for reading in readings]),
        np.array([reading.right for reading in readings]),
        (near.offset, near.weights) if near is not None else None,
    )
    return Fit(token_offset=token_offset, token_slope=token_slope, offset=offset, weights=weights)


def logistic_regression(
    features: NDArray[np.float64],
    right: NDArray[np.bool_],
    near: tuple[float, tuple[float, ...]] | None = None,
) -> tuple[float, tuple[float, ...]]:
    """The offset and weights of a logistic regression on [N, F] features. A slight ridge on
    standardised features keeps them finite where everything was right; with `near`, an offset and
    weights, a strong ridge keeps them near those."""
    mean, spread = features.mean(axis=0), features.std(axis=0)
    spread[spread < _STILL] = 1.0
    given = np.column_stack([np.ones(len(features)), (features - mean) / spread])
    offset_before, weights_before = near or (0.0, (0.0,) * features.shape[1])
    before = np.array([offset_before + np.dot(weights_before, mean), *(weights_before * spread)])
    ridge = (_RIDGE if near is None else _INHERITED_RIDGE) / len(given)

    def loss(found: Numbers) -> tuple[float, Numbers, Numbers]:
        odds, away = given @ found, found - before
        missed = np.logaddexp(0.0, odds) - right * odds
        probable = np.exp(-np.logaddexp(0.0, -odds))
        gradient = given.T @ (probable - right) / len(given) + 2 * ridge * away
        curvature = (given.T * (probable * (1 - probable))) @ given / len(
            given
        ) + 2 * ridge * np.eye(len(found))
        return float(missed.mean() + ridge * away @ away), gradient, curvature

    found = minimise_by_newton(before, loss)
    weights = found[1:] / spread
    return float(found[0] - weights @ mean), tuple(float(weight) for weight in weights)


@dataclass(frozen=True)
class ReliabilityBin:
    """A group of readings of about the same confidence."""

    confidence: float
    """The mean of their confidences."""
    right: float
    """The share of them that was right; it equals the confidence where that is well calibrated."""
    count: int


def reliability_curve(pairs: Sequence[tuple[float, bool]], bins: int = 10) -> list[ReliabilityBin]:
    """The groups of (confidence, right) `pairs` in `bins` steps of confidence; empty groups are
    left out."""
    made = []
    for index in range(bins):
        inside = [
            pair
            for pair in pairs
            if index <= pair[0] * bins < index + 1 or (index == bins - 1 and pair[0] == 1.0)
        ]
        if inside:
            confidences, rights = zip(*inside, strict=True)
            made.append(
                ReliabilityBin(float(np.mean(confidences)), float(np.mean(rights)), len(inside))
            )
    return made


def calibration_error(curve: Sequence[ReliabilityBin]) -> float:
    """The expected calibration error, 0 to 1: the mean distance of a curve from the diagonal,
    weighted by count."""
    total = sum(bin_.count for bin_ in curve)
    return sum(abs(bin_.confidence - bin_.right) * bin_.count for bin_ in curve) / max(total, 1)
