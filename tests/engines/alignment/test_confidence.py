"""Confidence: fitted to what turned out right, it is right as often as it says; the threshold lets
the user's good ones pass."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calibration.evaluation.fit_confidence import (
    LEAST_READINGS,
    PASSING,
    Reading,
    Way,
    calibration_error,
    fit_confidence,
    logistic_regression,
    reliability_curve,
    right_tokens,
)
from engines.alignment.confidence import (
    Confidence,
    Fit,
    features,
    log_odds,
    rescored_features,
    weigh,
)
from engines.alignment.rescoring import Feature
from engines.types import SoftTokens

EVEN = Fit(token_offset=0.0, token_slope=1.0, offset=0.0, weights=(1.0, 0.0, 0.0))


def reading(log_probabilities: list[float], quantity: float = 2.0) -> SoftTokens:
    count = len(log_probabilities)
    vectors = np.zeros((count, 4), np.float32)
    return SoftTokens(
        vectors, quantity, tokens=tuple(range(count)), log_probabilities=tuple(log_probabilities)
    )


def simulated(count: int, seed: int, way: Way = Way.ALONE) -> list[Reading]:
    """Utterances of five tokens that are right as often as their log probability says, half of them
    the user's."""
    rng = np.random.default_rng(seed)
    made = []
    for index in range(count):
        values = -rng.exponential(0.05 if index % 2 else 0.6, 5)
        rights = tuple(bool(right) for right in rng.random(5) < np.exp(values))
        soft = reading(values.tolist(), 5 + rng.uniform(-0.5, 0.5))
        found = features(soft) if way is Way.ALONE else rescored_features(soft, soft, (0, 1, 2))
        made.append(Reading(way, soft, found, rights, all(rights), index % 2 == 1))
    return made


def apart(readings: list[Reading]) -> list[list[Reading]]:
    """Each of an utterance of its own."""
    return [[reading] for reading in readings]


def in_both_ways(count: int) -> list[list[Reading]]:
    """Utterances that are read by one pass and again by rescoring."""
    return [
        list(both)
        for both in zip(*(simulated(count, seed, way) for seed, way in enumerate(Way)), strict=True)
    ]


def test_features_are_told_in_order() -> None:
    odds = [math.log(probability / (1 - probability)) for probability in (0.7, 0.2)]
    first = reading([math.log(0.7), math.log(0.2)], 2.3)
    assert features(first) == pytest.approx((odds[1], (odds[0] + odds[1]) / 2, 0.3))
    assert log_odds(0.0) == pytest.approx(13.8, abs=0.1)
    # Two tokens where four or five were heard.
    assert features(reading([-1.0, -3.0], 4.5))[2] == 2.5
    with pytest.raises(ValueError, match="vocabulary head"):
        features(SoftTokens(np.zeros((1, 4), np.float32), 1.0))


def test_what_was_rescored_is_compared_with_the_look_and_the_first_pass() -> None:
    first, best = reading([-1.0, -3.0], 2.3), reading([-0.5, -0.1, -0.2], 2.3)
    found = rescored_features(best, first, (7, 8))
    assert found[:3] == features(first)
    assert found[3] == pytest.approx(log_odds(-0.5))
    assert found[4:] == pytest.approx((0.8, 0.0))
    assert rescored_features(best, first, (0, 1, 2))[5] == 1.0
    assert rescored_features(best, first, ())[5] == 0.0


def test_a_reading_below_the_threshold_is_not_sure() -> None:
    doubted, trusted = (
        weigh(first, features(first), EVEN, 0.4)
        for first in (reading([math.log(least), math.log(0.7)]) for least in (0.3, 0.5))
    )
    assert (doubted.sure, trusted.sure) == (False, True)
    assert doubted.confidence == pytest.approx(0.3)
    assert doubted.confidences == pytest.approx((0.3, 0.7))


@given(st.lists(st.floats(-50, 0), min_size=1, max_size=20), st.floats(0, 30), st.floats(-100, 100))
def test_confidences_are_probabilities(values: list[float], quantity: float, slope: float) -> None:
    fit = Fit(token_offset=1.0, token_slope=slope, offset=-1.0, weights=(slope, 1.0, -slope))
    weighed = weigh(reading(values, quantity), features(reading(values, quantity)), fit, 0.5)
    assert weighed.confidence is not None
    assert weighed.confidences is not None
    assert all(0 <= value <= 1 for value in (weighed.confidence, *weighed.confidences))


def test_a_fitted_confidence_is_right_as_often_as_it_says() -> None:
    confidence = fit_confidence(apart(simulated(2000, seed=0)), ())
    assert confidence is not None
    weighed = [
        (weigh(one.soft, one.features, confidence.alone, confidence.threshold), one)
        for one in simulated(2000, seed=1)
    ]
    utterances = reliability_curve([(soft.confidence or 0.0, one.right) for soft, one in weighed])
    tokens = reliability_curve(
        [
            pair
            for soft, one in weighed
            for pair in zip(soft.confidences or (), one.right_tokens, strict=True)
        ]
    )
    assert calibration_error(utterances) < 0.06
    assert calibration_error(tokens) < 0.03
    assert sum(bin_.count for bin_ in tokens) == 10_000
    own = [soft.sure for soft, one in weighed if one.own and one.right]
    assert np.mean(own) == pytest.approx(PASSING, abs=0.03)
    wrong = [soft.sure for soft, one in weighed if not one.right]
    assert np.mean(wrong) < 0.6


def test_the_threshold_counts_what_rescoring_saves() -> None:
    confidence = fit_confidence(in_both_ways(2000), (1.0,) * len(Feature))
    assert confidence is not None
    assert confidence.rescored is not None
    fits = {Way.ALONE: confidence.alone, Way.RESCORED: confidence.rescored}
    passing = []
    for readings in in_both_ways(2000):
        weighed = [
            weigh(one.soft, one.features, fits[one.way], confidence.threshold) for one in readings
        ]
        if readings[-1].own and readings[-1].right:
            passing.append(any(one.sure for one in weighed))
    assert np.mean(passing) == pytest.approx(PASSING, abs=0.01)


def test_each_way_of_reading_has_a_fit_of_its_own() -> None:
    weights = (1.0,) * len(Feature)
    confidence = fit_confidence(in_both_ways(100), weights)
    assert confidence is not None
    assert confidence.rescored is not None
    assert (len(confidence.alone.weights), len(confidence.rescored.weights)) == (3, 6)
    assert confidence.rescoring_weights == weights
    few = fit_confidence(
        apart([*simulated(100, 0), *simulated(LEAST_READINGS - 1, 1, Way.RESCORED)]), weights
    )
    assert few is not None
    assert (few.rescored, few.rescoring_weights) == (None, ())


def test_what_few_readings_say_of_rescoring_is_weighed_against_what_was_inherited() -> None:
    """All of a round's readings are right; a base that has seen many wrong ones is not forgotten
    over them."""
    inherited = fit_confidence(in_both_ways(400), (1.0,) * 8)
    few = [
        replace(one, right=True, right_tokens=(True,) * 5) for one in simulated(30, 7, Way.RESCORED)
    ]
    own = apart([*simulated(60, 8), *few])
    alone, beside = fit_confidence(own, (1.0,) * 8), fit_confidence(own, (1.0,) * 8, inherited)
    assert inherited is not None
    assert alone is not None
    assert beside is not None
    doubtful = min(simulated(200, 9, Way.RESCORED), key=lambda one: one.features[3])

    def trusted(confidence: Confidence) -> float:
        assert confidence.rescored is not None
        return weigh(doubtful.soft, doubtful.features, confidence.rescored, 0.5).confidence or 0.0

    assert trusted(alone) > 0.5 > trusted(beside) > trusted(inherited)


def test_too_few_readings_tell_nothing() -> None:
    assert fit_confidence(apart(simulated(LEAST_READINGS - 1, seed=0)), ()) is None


@pytest.mark.parametrize("right", [True, False])
def test_where_all_are_right_or_all_wrong_the_fit_stays_finite(right: bool) -> None:
    alike = [
        Reading(Way.ALONE, one.soft, one.features, (right,) * 5, right, True)
        for one in simulated(30, seed=0)
    ]
    confidence = fit_confidence(apart(alike), ())
    assert confidence is not None
    assert all(
        math.isfinite(value)
        for value in (confidence.alone.offset, *confidence.alone.weights, confidence.threshold)
    )
    assert (
        (weigh(alike[0].soft, alike[0].features, confidence.alone, 0.5).confidence or 0) > 0.5
    ) == right


def test_logistic_regression_finds_what_it_was_made_from() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(3.0, 2.0, (20_000, 2))
    right = rng.random(20_000) < 1 / (
        1 + np.exp(-(0.5 * features[:, 0] - 1.0 * features[:, 1] + 1.0))
    )
    offset, weights = logistic_regression(features, right)
    # The ridge pulls a little.
    assert (offset, *weights) == pytest.approx((1.0, 0.5, -1.0), abs=0.15)


def test_right_tokens_are_those_in_the_label() -> None:
    assert right_tokens((1, 2, 9, 4), (1, 2, 3, 4)) == (True, True, False, True)
    assert right_tokens((), (1,)) == ()


@settings(max_examples=50)
@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=60))
def test_a_curve_loses_nothing(pairs: list[tuple[float, bool]]) -> None:
    curve = reliability_curve(pairs)
    assert sum(bin_.count for bin_ in curve) == len(pairs)
    assert 0 <= calibration_error(curve) <= 1
