"""Whose voice a recording is. Voices are directions here, and recordings lie around them."""

import numpy as np
import pytest

from engines.types import Float32
from engines.voiceprint.attribution import SURE, attribute, whose
from engines.voiceprint.cohort import COHORT_SENTENCES, of_length_1, read_cohort
from engines.voiceprint.model import PRINT_SIZE
from engines.voiceprint.noise import NOISES
from engines.voiceprint.profile import (
    LEAST_ENROLLED,
    Profile,
    make_profile,
    own_probabilities,
    probability,
    score,
)

COHORT = read_cohort()
SPREAD = 0.3


def voice(seed: int) -> Float32:
    """A voice as unlike those of the cohort as these are unlike each other."""
    rng = np.random.default_rng(seed)
    of_two = COHORT.centres[rng.integers(len(COHORT.centres), size=2), 0].mean(axis=0)
    return of_length_1(np.abs(of_two + rng.normal(0, 0.06, PRINT_SIZE)).astype(np.float32))


def said(who: Float32, count: int, seed: int) -> Float32:
    """[count, PRINT_SIZE]: what this voice says."""
    rng = np.random.default_rng(seed)
    around = rng.normal(0, SPREAD / PRINT_SIZE**0.5, (count, PRINT_SIZE))
    return of_length_1((who + around).astype(np.float32))


def enrolled(who: Float32, count: int = 6) -> Profile:
    return make_profile(
        np.stack([said(who, count, seed) for seed in range(len(NOISES))], 1), COHORT
    )


def test_the_cohort_is_whole() -> None:
    assert COHORT.prints.shape == (24, len(NOISES), COHORT_SENTENCES, PRINT_SIZE)
    assert np.allclose(np.linalg.norm(COHORT.prints, axis=3), 1, atol=1e-2)


@pytest.mark.parametrize("count", [LEAST_ENROLLED, 6, 12])
def test_the_user_is_told_from_others(count: int) -> None:
    profiles = {1: enrolled(voice(1), count)}
    for print_ in said(voice(1), 20, 100):
        heard = whose(print_, profiles, COHORT)
        assert (heard.user, heard.clear) == (1, True)
        assert heard.confidence >= SURE
    for seed in range(2, 12):
        heard = whose(said(voice(seed), 1, seed)[0], profiles, COHORT)
        assert (heard.user, heard.clear) == (None, True)


def test_of_several_users_the_likest_is_meant_and_of_two_alike_nobody() -> None:
    profiles = {1: enrolled(voice(1)), 2: enrolled(voice(2))}
    assert whose(said(voice(2), 1, 5)[0], profiles, COHORT).user == 2
    twins = {1: enrolled(voice(1)), 2: enrolled(voice(1))}
    heard = whose(said(voice(1), 1, 5)[0], twins, COHORT)
    assert (heard.user, heard.clear) == (None, False)


def test_without_a_profile_nothing_is_clear() -> None:
    heard = whose(voice(1), {}, COHORT)
    assert (heard.user, heard.clear, heard.confidence) == (None, False, 0.0)


def test_a_visitor_is_betrayed_by_what_sounds_less_alike() -> None:
    """Of a visitor who resembles the user, some recordings pass by themselves."""
    user = voice(1)
    profiles = {1: enrolled(user)}
    visits = np.concatenate(
        [
            said(of_length_1((1 - share) * user + share * voice(7)), 6, int(1000 * share))
            for share in np.arange(0.5, 0.75, 0.025)
        ]
    )
    alone = [whose(one, profiles, COHORT).user == 1 for one in visits]
    assert 0.2 < np.mean(alone) < 0.6
    own = said(user, 30, 4)
    together = attribute([*own, *visits], profiles, COHORT)
    passed = sum(heard.user == 1 for heard in together[30:])
    assert passed < sum(alone) / 2
    assert np.mean([heard.user == 1 for heard in together[:30]]) > 0.8


def test_scores_rise_with_likeness_and_probabilities_with_scores() -> None:
    user, other = voice(1), voice(2)
    profile = enrolled(user)
    scores = [
        score(profile, of_length_1((1 - share) * user + share * other), COHORT)
        for share in (0, 0.25, 0.5, 1)
    ]
    assert scores == sorted(scores, reverse=True)
    assert [probability(one) for one in scores] == sorted(map(probability, scores), reverse=True)
    assert 0 <= probability(-1e9) < probability(1e9) <= 1


def test_a_recording_of_another_voice_among_the_enrolled_is_found() -> None:
    prints = np.stack([said(voice(1), 7, seed) for seed in range(len(NOISES))], 1)
    prints[3] = said(voice(2), len(NOISES), 9)
    found = own_probabilities(prints, COHORT)
    assert int(np.argmin(found)) == 3
    assert found[3] < 0.5
    assert own_probabilities(prints[:LEAST_ENROLLED], COHORT) == [1.0] * LEAST_ENROLLED
