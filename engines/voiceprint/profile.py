"""A user's profile, made of their enrolled recordings, and how much a voiceprint is like it.

A score has two parts, and neither is compared with a constant: how much nearer the print is to the
user than to the nearest voices of the cohort (as T-norm of Auckenthaler et al. 2000, without its
division), and how near it is to the user compared with the user's own recordings. Each is measured
in the noise that fits best. A logistic function of their sum, fitted to voices that neither the
cohort nor the judged sets have, gives the probability."""

from dataclasses import dataclass

import numpy as np

from ..types import Float32
from .cohort import Cohort, of_length_1

LEAST_ENROLLED = 3
"""Recordings that a profile needs at least."""
MOST_ENROLLED = 32
"""More tell no more."""
_NEAREST_VOICES = 15
_OTHERS_QUANTILE = 0.95
_CENTRE, _WIDTH = -0.16, 0.06
"""Of the logistic function: the score at which the probability is a half, and its scale."""


@dataclass(frozen=True)
class Profile:
    """What is known of a user's voice."""

    prints: Float32
    """[n, noises, PRINT_SIZE]: the enrolled recordings, of length 1."""
    centres: Float32
    """[noises, PRINT_SIZE]: their means, of length 1."""
    own_cosines: Float32
    """[noises]: the mean cosine of an enrolled recording and the mean of the others."""
    middle: float
    """The middle between the user's own distances from the cohort and those of other voices."""


def make_profile(prints: Float32, cohort: Cohort) -> Profile:
    """Make the profile of enrolled recordings [n, noises, PRINT_SIZE]; n is LEAST_ENROLLED or
    more."""
    count, noises = prints.shape[:2]
    assert count >= LEAST_ENROLLED
    own = [
        _compare(_centres(np.delete(prints, one, axis=0)), prints[one, noise], cohort)
        for one in range(count)
        for noise in range(noises)
    ]
    centres = _centres(prints)
    others = [
        _compare(centres, print_, cohort, left_out=voice)[2]
        for voice in range(len(cohort.prints))
        for print_ in cohort.prints[voice].reshape(-1, cohort.prints.shape[-1])
    ]
    cosines = [
        [cosine for best, cosine, _ in own if best == noise] or [cosine for _, cosine, _ in own]
        for noise in range(noises)
    ]
    return Profile(
        prints,
        centres,
        np.array([np.mean(each) for each in cosines], np.float32),
        float(np.mean([distance for *_, distance in own]) + np.quantile(others, _OTHERS_QUANTILE))
        / 2,
    )


def own_probabilities(prints: Float32, cohort: Cohort) -> list[float]:
    """The probability, for each of the enrolled recordings [n, noises, PRINT_SIZE], that it is the
    voice of the others; 1 where these are too few to tell."""
    if len(prints) <= LEAST_ENROLLED:
        return [1.0] * len(prints)
    return [
        probability(
            score(make_profile(np.delete(prints, one, axis=0), cohort), prints[one, 0], cohort)
        )
        for one in range(len(prints))
    ]


def score(profile: Profile, print_: Float32, cohort: Cohort) -> float:
    """How much a voiceprint [PRINT_SIZE] is like a profile; about 0 for the user's own."""
    best, cosine, distance = _compare(profile.centres, print_, cohort)
    return distance - profile.middle + cosine - float(profile.own_cosines[best])


def probability(scored: float) -> float:
    """The probability, 0 to 1, that a voiceprint with this score is the user's, if as many are as
    are not."""
    return float(1 / (1 + np.exp(np.clip(-(scored - _CENTRE) / _WIDTH, -50, 50))))


def _centres(prints: Float32) -> Float32:
    return of_length_1(prints.mean(axis=0))


def _compare(
    centres: Float32, print_: Float32, cohort: Cohort, left_out: int | None = None
) -> tuple[int, float, float]:
    """The noise in which a voiceprint is nearest to `centres` [noises, PRINT_SIZE], its cosine
    there, and how far that is above the mean cosine of the nearest voices of the cohort, without
    the voice `left_out`."""
    cosines = centres @ print_
    best = int(cosines.argmax())
    theirs = cohort.centres if left_out is None else np.delete(cohort.centres, left_out, axis=0)
    nearest = np.sort((theirs @ print_).ravel())[-_NEAREST_VOICES:]
    return best, float(cosines[best]), float(cosines[best] - nearest.mean())
