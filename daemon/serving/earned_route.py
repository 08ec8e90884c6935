"""Decides which route a generation has earned and what doubt leads to, from the scores on its card
and on those of the generations trained from it. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, sqrt
from statistics import NormalDist
from typing import Literal

import numpy as np

from engines.generations.card import Card, Judgement, Score

from ..judgement import CERTAINTY, percent, proves, resampled

RouteName = Literal["cascade", "aligned"]
WhenUnsure = Literal["cascade", "ask", "answer"]

HEARS_WELL = 0.25
"""Word error rate on the holdout up to which a route hears a user well. No route is earned above
it, by the upper end of its confidence interval. A cascade up to it has words that are better than a
question back."""
ROUTE_CERTAINTY = 0.95
"""Confidence of that interval, one-sided."""
ROUTE_SLACK = 0.03
"""By how much a route's word error rate may exceed the cascade's in resampled sets of utterances;
absolute."""


@dataclass(frozen=True)
class Measured:
    """How a generation's aligned route and its cascade heard the same held-out utterances, whose
    texts the user confirmed."""

    own: Score
    cascade: Score
    """The score of the cascade, through the generation's recogniser if it has one."""
    words: tuple[int, ...]
    """Number of words in the label of each utterance. Empty, like the two fields below, if the card
    does not say how each utterance was heard."""
    own_errors: tuple[int, ...]
    """Number of wrong, missing and added words of each utterance."""
    cascade_errors: tuple[int, ...]


def measured(card: Card, later: Sequence[Card] = ()) -> Measured | None:
    """Return the newest judgement that proves anything; None if there is none.

    A generation is judged as a candidate on its own card, and again as the current generation on
    the cards of those that were trained from it: `later`, the newest last. The base is judged for
    this user by those alone.
    """
    for child in reversed(later):
        if child.holdout is not None and proves(child.holdout):
            return _as_current(child.holdout)
    if card.holdout is not None and proves(card.holdout):
        return _as_candidate(card.holdout)
    return None


def _as_candidate(judgement: Judgement) -> Measured:
    said = judgement.utterances
    cascade = [one.cascade if one.recogniser is None else one.recogniser for one in said]
    return Measured(
        judgement.candidate,
        judgement.recogniser or judgement.cascade,
        tuple(one.words for one in said),
        tuple(one.candidate for one in said),
        tuple(cascade),
    )


def _as_current(judgement: Judgement) -> Measured:
    said = judgement.utterances
    cascade = [
        one.cascade if one.current_recogniser is None else one.current_recogniser for one in said
    ]
    return Measured(
        judgement.current,
        judgement.current_recogniser or judgement.cascade,
        tuple(one.words for one in said),
        tuple(one.current for one in said),
        tuple(cascade),
    )


def earned_route(card: Card, later: Sequence[Card] = ()) -> tuple[RouteName, str]:
    """Return the route that a generation has earned, and why, for the user.

    It is the aligned route if, as `measured`, the generation is better than the cascade, which
    takes less time and memory, and mishears at most HEARS_WELL of the words, and neither is chance:
    the upper end of the word error's confidence interval counts, and in CERTAINTY of the resampled
    sets of utterances it is worse than the cascade by ROUTE_SLACK at most.
    """
    found = measured(card, later)
    if found is None:
        return (
            "cascade",
            (
                f"generation {card.number:04d} was not judged on enough confirmed utterances to"
                " replace the cascade"
            ),
        )
    ours, theirs = found.own.word_error_rate, found.cascade.word_error_rate
    figures = (
        f"{percent(ours)} word error on {found.own.utterances} held-out utterances, cascade"
        f" {percent(theirs)}"
    )
    if not ours < theirs < inf:
        return "cascade", f"not earned yet: {figures}"
    if not (upper := _upper_word_error(found, ROUTE_CERTAINTY)) <= HEARS_WELL:
        allowed = f"{100 * HEARS_WELL:.0f} %"
        return (
            "cascade",
            (
                f"not earned yet: {figures}; it may be {percent(upper)}, and {allowed} is the most"
                " that earns a route"
            ),
        )
    no_worse = _share_no_worse(found, ROUTE_SLACK)
    if not no_worse >= CERTAINTY:
        return "cascade", f"not earned yet: {figures}; that it is no worse may be chance"
    return "aligned", f"earned: {figures}"


def _upper_word_error(found: Measured, certainty: float) -> float:
    """Return the upper end of a one-sided confidence interval of the generation's word error rate.

    It is the larger of two: that of a bootstrap over utterances, which takes into account that
    errors come together, and that of Wilson's score interval (1927) over words, which takes into
    account that no error in a few words does not mean none in many. If the card does not say how
    each utterance was heard, it is Wilson's over utterances, as if the words of each were all right
    or all wrong.
    """
    rate = found.own.word_error_rate
    if not found.words:
        return _wilson_upper(rate, found.own.utterances, certainty)
    rates = resampled(np.array(found.words), np.array(found.own_errors))
    return max(
        rate, float(np.quantile(rates, certainty)), _wilson_upper(rate, found.own.words, certainty)
    )


def _wilson_upper(rate: float, count: int, certainty: float) -> float:
    """Return the upper end of Wilson's one-sided interval for a share `rate` of `count`. A rate
    of 1 or more is returned as it is: it is not a share."""
    if not rate < 1:
        return rate
    z = NormalDist().inv_cdf(certainty)
    spread = z * sqrt(rate * (1 - rate) / count + z * z / (4 * count * count))
    return (rate + z * z / (2 * count) + spread) / (1 + z * z / count)


def _share_no_worse(found: Measured, slack: float) -> float:
    """Return the share of resampled sets of utterances in which the generation's word error rate is
    above the cascade's by `slack` at most; 1 if the card does not say how each utterance was
    heard."""
    if not found.words:
        return 1.0
    worse = np.array(found.own_errors) - np.array(found.cascade_errors)
    return float((np.round(resampled(np.array(found.words), worse), 9) <= slack).mean())


def when_unsure(card: Card, later: Sequence[Card] = ()) -> WhenUnsure:
    """Return what a doubted utterance leads to: the cascade's words if the cascade hears this user
    well, else a question back."""
    found = measured(card, later)
    if found is None:
        return "cascade"  # nothing shows that the cascade hears this user badly
    return "cascade" if found.cascade.word_error_rate <= HEARS_WELL else "ask"
