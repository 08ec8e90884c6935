"""The confidence in transcripts, fitted to readings whose truth is known."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from calibration.evaluation.fit_confidence import calibration_error, reliability_curve
from calibration.evaluation.fit_transcripts import Transcribed, fit_transcript_confidence
from engines.types import Transcript
from engines.whisper.transcript_confidence import TranscriptConfidence

OFFSET, SLOPE = 2.0, 0.8


def readings(count: int, seed: int, own_share: float = 0.3) -> list[Transcribed]:
    """Readings that are right with the probability that OFFSET and SLOPE make of their log
    likelihood."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        likelihood = -float(rng.exponential(3.0))
        right = rng.random() < 1 / (1 + math.exp(-(OFFSET + SLOPE * likelihood)))
        text = "call ann now" if right else "tall ann now"
        own = bool(rng.random() < own_share)
        made.append(Transcribed("Call Ann now.", Transcript(text, likelihood, 4), own))
    return made


def test_the_fit_finds_how_much_a_likelihood_is_worth() -> None:
    found = fit_transcript_confidence(readings(4000, seed=1))
    assert found is not None
    assert (found.offset, found.slope) == pytest.approx((OFFSET, SLOPE), abs=0.15)


def test_a_round_fits_a_confidence_that_holds_on_other_readings() -> None:
    found = fit_transcript_confidence(readings(150, seed=2))
    assert found is not None
    pairs = [
        (found.weigh(one.transcript).confidence or 0.0, one.right) for one in readings(2000, seed=3)
    ]
    assert calibration_error(reliability_curve(pairs)) < 0.08


def test_what_is_more_likely_wrong_than_right_is_in_doubt_and_nothing_else() -> None:
    sure = [
        Transcribed("Call Ann.", Transcript("Call Ann.", -0.01 * n, 3), own=True) for n in range(40)
    ]
    wrong = [
        Transcribed("Call Ann.", Transcript("Tall Ann.", -4.0 - 0.1 * n, 3), own=False)
        for n in range(40)
    ]
    found = fit_transcript_confidence([*sure, *wrong])
    assert found is not None
    assert all(found.weigh(one.transcript).sure for one in sure)
    assert not any(found.weigh(one.transcript).sure for one in wrong)
    between = [(Transcript("Call Ann.", -0.1 * n, 3), n) for n in range(60)]
    likely = [found.weigh(transcript) for transcript, _ in between]
    assert [one.sure for one in likely] == [(one.confidence or 0.0) >= 0.5 for one in likely]


def test_too_few_readings_with_words_fit_nothing() -> None:
    few = readings(19, seed=4)
    silent = [Transcribed("Call Ann.", Transcript(""), own=True)] * 30
    assert fit_transcript_confidence([*few, *silent]) is None
    assert fit_transcript_confidence([*readings(20, seed=4), *silent]) is not None


@given(
    st.floats(-50, 50), st.floats(0, 50), st.floats(0, 1), st.floats(-1e6, 0), st.floats(-1e6, 0)
)
def test_what_is_likelier_is_never_less_sure(
    offset: float, slope: float, threshold: float, one: float, other: float
) -> None:
    confidence = TranscriptConfidence(offset=offset, slope=slope, threshold=threshold)
    less, more = (
        confidence.weigh(Transcript("Call Ann.", likelihood, 3))
        for likelihood in sorted((one, other))
    )
    assert less.confidence is not None
    assert more.confidence is not None
    assert 0 <= less.confidence <= more.confidence <= 1
    assert (less.sure, more.sure) == (less.confidence >= threshold, more.confidence >= threshold)
    nothing = Transcript("")
    assert confidence.weigh(nothing) == nothing


def said(*likelihoods: float, right: bool = True, own: bool = True) -> list[Transcribed]:
    text = "Call Ann." if right else "Tall Ann."
    return [Transcribed("Call Ann.", Transcript(text, one, 3), own) for one in likelihoods]


def test_sure_transcripts_become_labels_only_where_they_have_proven_right() -> None:
    sure, hopeless = [-0.01] * 40, [-9.0] * 40
    others = [*said(*sure, own=False), *said(*hopeless, right=False, own=False)]
    proven = fit_transcript_confidence([*others, *said(*sure[:8])])
    assert proven is not None
    assert (proven.precision, proven.writes_labels) == (1.0, True)
    few = fit_transcript_confidence([*others, *said(*sure[:7]), *said(*hopeless)])
    assert few is not None
    assert (few.precision, few.writes_labels) == (None, False), "seven tell too little"
    misled = fit_transcript_confidence([*others, *said(*sure[:8]), *said(*sure[:2], right=False)])
    assert misled is not None
    assert (misled.precision, misled.writes_labels) == (0.8, False)
