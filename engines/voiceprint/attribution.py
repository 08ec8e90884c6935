"""Whose voice each of many recordings is, of several users or nobody's."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..types import Float32
from .cohort import Cohort
from .profile import Profile, probability, score

SURE = 0.85
"""From this probability on a voice counts as a user's."""
STRANGE = 0.5
"""Below this it counts as somebody else's."""
_NEIGHBOURS = 3


@dataclass(frozen=True)
class Heard:
    """Whose voice a recording is."""

    user: int | None
    """None if it is nobody's of the users, or that is not clear."""
    clear: bool
    confidence: float
    """The probability that it is the user's; or that of the user whose voice is likest."""


UNKNOWN = Heard(None, clear=False, confidence=0.0)


def whose(print_: Float32, profiles: Mapping[int, Profile], cohort: Cohort) -> Heard:
    """Return whose voice one voiceprint [PRINT_SIZE] is, of the users who have `profiles`."""
    if not profiles:
        return UNKNOWN
    odds = {}
    for user, profile in profiles.items():
        alone = min(probability(score(profile, print_, cohort)), 1 - 1e-9)
        odds[user] = alone / (1 - alone)
    # As likely before it is heard: each of the users, and somebody else.
    likest = max(odds, key=lambda user: odds[user])
    confidence = odds[likest] / (1 + sum(odds.values()))
    if confidence >= SURE:
        return Heard(likest, clear=True, confidence=confidence)
    return Heard(None, clear=sum(odds.values()) < STRANGE / (1 - STRANGE), confidence=confidence)


def attribute(
    prints: Sequence[Float32], profiles: Mapping[int, Profile], cohort: Cohort
) -> list[Heard]:
    """Return whose voice each of `prints` is, judged together: what is more like a recording that
    is not the user's than like those that the user enrolled is not clear.

    A visitor whose voice resembles the user's is betrayed by those recordings in which it does so
    less.
    """
    found = [whose(print_, profiles, cohort) for print_ in prints]
    others = [print_ for print_, heard in zip(prints, found, strict=True) if heard.user is None]
    if len(others) < _NEIGHBOURS:
        return found
    strange = np.stack(others)
    enrolled = {
        user: profile.prints.reshape(-1, profile.prints.shape[-1])
        for user, profile in profiles.items()
    }
    return [
        Heard(None, clear=False, confidence=heard.confidence)
        if heard.user is not None
        and _nearness(print_, strange) >= _nearness(print_, enrolled[heard.user])
        else heard
        for print_, heard in zip(prints, found, strict=True)
    ]


def _nearness(print_: Float32, to: Float32) -> float:
    return float(np.sort(to @ print_)[-_NEIGHBOURS:].mean())
