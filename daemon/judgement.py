"""Says how much a judgement on a card proves: whether it rests on enough utterances, and what may
be chance. Pure."""

import numpy as np
from numpy.typing import NDArray

from engines.generations.card import JudgedUtterance, Judgement, Score

MIN_UTTERANCES = 5
"""Fewer held-out utterances than this prove nothing. If a quarter of the words are misheard, about
half of all short requests are heard without an error: five in a row are so by chance once in thirty
times, three once in eight."""
MIN_WORDS = 15
"""Fewer words in the labels than this prove nothing either: utterances of one word tell little."""
CERTAINTY = 0.9
"""Share of resampled sets of utterances that must agree, 0 to 1: a gain on a few utterances may be
chance."""
_RESAMPLES = 2000


def proves(judgement: Judgement) -> bool:
    """Return whether candidate, current generation and cascade were all judged on at least
    MIN_UTTERANCES utterances with at least MIN_WORDS words."""
    scores: tuple[Score, ...] = (judgement.candidate, judgement.current, judgement.cascade)
    return all(score.words >= MIN_WORDS and score.utterances >= MIN_UTTERANCES for score in scores)


def of_recognisers(judgement: Judgement) -> Judgement | None:
    """Return the judgement of the cascade alone: through the candidate's recogniser, against the
    current generation's, or Whisper as it came if that has none. None if the candidate has none."""
    if judgement.recogniser is None:
        return None
    current = judgement.current_recogniser or judgement.cascade
    utterances = tuple(
        JudgedUtterance(
            id=one.id,
            words=one.words,
            candidate=one.recogniser,
            current=one.cascade if one.current_recogniser is None else one.current_recogniser,
            cascade=one.cascade,
        )
        for one in judgement.utterances
        if one.recogniser is not None
    )
    return Judgement(
        candidate=judgement.recogniser,
        current=current,
        cascade=judgement.cascade,
        utterances=utterances,
    )


def resampled(words: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the bootstrap (Efron 1979) of a rate: [_RESAMPLES] values of `counts` over `words`,
    both [N] by utterance, each for N utterances drawn with replacement."""
    drawn = np.random.default_rng(0).integers(len(words), size=(_RESAMPLES, len(words)))
    return np.asarray(counts[drawn].sum(axis=1) / np.maximum(words[drawn].sum(axis=1), 1))


def percent(rate: float) -> str:
    """Return a share, 0 to 1, as text such as `12.5 %`."""
    return f"{100 * rate:.1f} %"
