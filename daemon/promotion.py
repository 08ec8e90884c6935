"""Whether a candidate takes over, and which route it has earned, from the scores on its card. Pure: reads and moves nothing."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf, sqrt
from statistics import NormalDist
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from engines.card import Card, Judgement, Score

RouteName = Literal["cascade", "aligned"]
WhenUnsure = Literal["cascade", "ask", "answer"]

HEARS_WELL = 0.25
"""Word error rate on the holdout up to which a way of hearing serves a user. No route is earned above it, and up to it the
cascade's words are better than a question back."""
_RESAMPLES = 2000


@dataclass(frozen=True)
class PromotionLimits:
    min_gain: float = 0.005
    """Word error rate by which the candidate must be better on the holdout; absolute, 0.01 is one percentage point."""
    general_slack: float = 0.03
    """Word error rate by which it may be worse on the general set; absolute."""
    min_holdout_utterances: int = 5
    """Fewer held-out utterances than this prove nothing. Where a quarter of the words are misheard about half of all short
    requests are heard without an error: five in a row are so by chance once in thirty times, three once in eight."""
    min_holdout_words: int = 15
    """Fewer words in their labels prove nothing either: utterances of one word tell little each."""
    certainty: float = 0.9
    """Share of resampled sets of utterances that must say the same: a gain on a few of them may be chance."""
    max_word_error: float = 0.5
    """Word error rate on the holdout above which nothing is promoted, however bad the current generation is. With every second
    word wrong no request is understood, and labels that say something else than their recordings leave all hearers above it.
    Speakers whom recognisers fail start at 0.6 to 1.0; a round that brings them to 0.3 is promoted, though it earns no route
    yet."""
    max_route_word_error: float = HEARS_WELL
    """Word error rate on the holdout above which no route is earned; the upper end of its confidence interval counts."""
    route_certainty: float = 0.95
    """Of that interval, one-sided."""
    route_slack: float = 0.03
    """Word error rate by which a route may turn out worse than the cascade in resampled sets of utterances; absolute."""


@dataclass(frozen=True)
class Verdict:
    promote: bool
    reason: str
    """For people, with the figures."""


def verdict(card: Card, limits: PromotionLimits = PromotionLimits()) -> Verdict:
    """Promote when the candidate hears the user's held-out, confirmed utterances better and has not forgotten the rest.

    Better means a lower word error rate by `min_gain`, or one no higher with as large a gain on the general set; and in any case
    one of at most `max_word_error`. Neither a gain nor its not having forgotten may be chance: a paired bootstrap over
    utterances must agree with `certainty`. Whatever was not measured, and whatever is not a number, refuses. Recognised labels
    are not looked at: the cascade itself wrote them.
    """
    holdout, general = card.holdout, card.general
    if holdout is None or not _proves(holdout, limits):
        return _refused(_too_little(holdout, limits))
    if general is None or general.candidate.words == 0:
        return _refused("the general set was not judged, so nothing shows what was forgotten")
    figures = f"{_holdout_figures(holdout)}; {_general_figures(general)}"
    if not _gain(general) >= -limits.general_slack:
        return _refused(f"it forgot too much: {figures}")
    kept = _share(general, lambda gain: gain >= -limits.general_slack)
    if not kept >= limits.certainty:
        return _refused(f"it may have forgotten too much (it did in {1 - kept:.0%} of resampled sets): {figures}")
    gains = [judged for judged in (holdout, general) if _gain(judged) >= limits.min_gain]
    if not _gain(holdout) >= 0 or not gains:
        return _refused(f"no better for this user: {figures}")
    if (beyond := beyond_bounds(card, limits)) is not None:
        return beyond
    better = max(_share(judged, lambda gain: gain > 0) for judged in gains)
    if not better >= limits.certainty:
        return _refused(f"that it is better may be chance (it is in {better:.0%} of resampled sets): {figures}")
    return Verdict(True, f"promoted: {figures}")


def beyond_bounds(card: Card, limits: PromotionLimits = PromotionLimits()) -> Verdict | None:
    """The refusal of a candidate that mishears too many of the user's words, whatever else speaks for it; None of any other."""
    if card.holdout is None or card.holdout.candidate.word_error_rate <= limits.max_word_error:
        return None
    return _refused(f"more than {limits.max_word_error:.0%} of the words are misheard: {_holdout_figures(card.holdout)}")


def would_refuse(card: Card) -> str:
    """What a person is told who makes a generation current that its verdict refuses; empty where there is nothing to tell."""
    if card.parent is None or (judged := verdict(card)).promote:
        return ""
    return f"generation {card.number:04d} is served because you say so; its verdict was: {judged.reason}"


@dataclass(frozen=True)
class Measured:
    """How a generation and the cascade heard the same held-out utterances, whose texts a person confirmed."""

    own: Score
    cascade: Score
    words: tuple[int, ...]
    """In the label of each utterance. Empty, as the two below, where the card does not say how each was heard."""
    own_errors: tuple[int, ...]
    """Wrong, missing and added words of each utterance."""
    cascade_errors: tuple[int, ...]


def measured(card: Card, later: Sequence[Card] = (), limits: PromotionLimits = PromotionLimits()) -> Measured | None:
    """By the newest judgement that proves anything; None where there is none.

    A generation is judged as a candidate, by its own card, and again as the current one by the cards of those that were trained
    from it, `later`, the newest last: what came with Attune is judged for this user by nothing else.
    """
    for child in reversed(later):
        if child.holdout is not None and _proves(child.holdout, limits):
            return _measured(child.holdout, child.holdout.current, [one.current for one in child.holdout.utterances])
    if card.holdout is not None and _proves(card.holdout, limits):
        return _measured(card.holdout, card.holdout.candidate, [one.candidate for one in card.holdout.utterances])
    return None


def _measured(judgement: Judgement, own: Score, own_errors: Sequence[int]) -> Measured:
    words = tuple(one.words for one in judgement.utterances)
    return Measured(own, judgement.cascade, words, tuple(own_errors), tuple(one.cascade for one in judgement.utterances))


def earned_route(card: Card, later: Sequence[Card] = (), limits: PromotionLimits = PromotionLimits()) -> tuple[RouteName, str]:
    """The route that a generation has earned, and why, for people.

    Aligned where, as far as it was `measured`, it beats or equals the cascade, hears at most `max_route_word_error` of the words
    wrong, and neither is chance: the upper end of the word error's confidence interval counts, and in `certainty` of the
    resampled sets of utterances it is worse than the cascade by `route_slack` at most.
    """
    found = measured(card, later, limits)
    if found is None:
        return (
            "cascade",
            f"generation {card.number:04d} was not judged on enough confirmed utterances to take over from the cascade",
        )
    ours, theirs = found.own.word_error_rate, found.cascade.word_error_rate
    figures = f"{_percent(ours)} word error on {found.own.utterances} held-out utterances, cascade {_percent(theirs)}"
    if not ours <= theirs < inf:
        return "cascade", f"not earned yet: {figures}"
    if not (upper := _upper_word_error(found, limits.route_certainty)) <= limits.max_route_word_error:
        allowed = f"{100 * limits.max_route_word_error:.0f} %"
        return "cascade", f"not earned yet: {figures}; it may be {_percent(upper)}, and {allowed} is the most that earns a route"
    no_worse = _share_no_worse(found, limits.route_slack)
    if not no_worse >= limits.certainty:
        return "cascade", f"not earned yet: {figures}; that it is no worse may be chance"
    return "aligned", f"earned: {figures}"


def _upper_word_error(found: Measured, certainty: float) -> float:
    """The upper end of a one-sided confidence interval of the own word error rate.

    The larger of two: of a bootstrap over utterances, which knows that errors come together, and of Wilson's score interval
    (1927) over words, which knows that no error in a few words is not none in many. Where the card does not say how each
    utterance was heard, Wilson's over utterances, as if the words of one were all right or all wrong.
    """
    rate = found.own.word_error_rate
    if not found.words:
        return _wilson_upper(rate, found.own.utterances, certainty)
    rates = _resampled(np.array(found.words), np.array(found.own_errors))
    return max(rate, float(np.quantile(rates, certainty)), _wilson_upper(rate, found.own.words, certainty))


def _wilson_upper(rate: float, count: int, certainty: float) -> float:
    """The upper end of Wilson's one-sided interval for a share `rate` of `count`; a rate above 1, which no share is, stays."""
    if not rate < 1:
        return rate
    z = NormalDist().inv_cdf(certainty)
    spread = z * sqrt(rate * (1 - rate) / count + z * z / (4 * count * count))
    return (rate + z * z / (2 * count) + spread) / (1 + z * z / count)


def _share_no_worse(found: Measured, slack: float) -> float:
    """Of resampled sets of utterances, in how many the own word error is above the cascade's by `slack` at most; 1 where the card
    does not say how each utterance was heard."""
    if not found.words:
        return 1.0
    worse = np.array(found.own_errors) - np.array(found.cascade_errors)
    return float((np.round(_resampled(np.array(found.words), worse), 9) <= slack).mean())


def when_unsure(card: Card, later: Sequence[Card] = (), limits: PromotionLimits = PromotionLimits()) -> WhenUnsure:
    """What a doubted utterance leads to: the cascade's words where it hears this user well, else a question back."""
    found = measured(card, later, limits)
    if found is None:
        return "cascade"  # nothing says that it hears this user badly
    return "cascade" if found.cascade.word_error_rate <= HEARS_WELL else "ask"


def _percent(rate: float) -> str:
    return f"{100 * rate:.1f} %"


def _proves(judgement: Judgement, limits: PromotionLimits) -> bool:
    scores: tuple[Score, ...] = (judgement.candidate, judgement.current, judgement.cascade)
    least_utterances, least_words = max(1, limits.min_holdout_utterances), max(1, limits.min_holdout_words)
    return all(score.words >= least_words and score.utterances >= least_utterances for score in scores)


def _too_little(judgement: Judgement | None, limits: PromotionLimits) -> str:
    utterances = 0 if judgement is None else judgement.candidate.utterances
    least_utterances, least_words = limits.min_holdout_utterances, limits.min_holdout_words
    if judgement is None or utterances < least_utterances:
        return f"{utterances} held-out utterances with a confirmed text, {least_utterances} needed; enrol or correct more"
    words = judgement.candidate.words
    return f"{words} words in {utterances} held-out utterances, {least_words} needed; enrol or correct more, and longer ones"


def _gain(judgement: Judgement) -> float:
    """Rounded, so that a difference of exactly the limit counts on every machine."""
    return round(judgement.current.word_error_rate - judgement.candidate.word_error_rate, 9)


def _share(judgement: Judgement, holds: Callable[[NDArray[np.float64]], NDArray[np.bool_]]) -> float:
    """Of sets of as many utterances drawn from a judgement's own, in how many the gain `holds`; 0 where the card does not say how
    each was heard."""
    if not judgement.utterances:
        return 0.0
    words, gained = np.array([(some.words, some.current - some.candidate) for some in judgement.utterances]).T
    return float(holds(np.round(_resampled(words, gained), 9)).mean())


def _resampled(words: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """[_RESAMPLES] `counts` over `words`, both [N] by utterance, in sets of as many utterances drawn from them with
    replacement."""
    drawn = np.random.default_rng(0).integers(len(words), size=(_RESAMPLES, len(words)))
    return np.asarray(counts[drawn].sum(axis=1) / np.maximum(words[drawn].sum(axis=1), 1))


def _refused(why: str) -> Verdict:
    return Verdict(False, f"refused: {why}")


def _holdout_figures(judgement: Judgement) -> str:
    ours, current, cascade = (
        _percent(score.word_error_rate) for score in (judgement.candidate, judgement.current, judgement.cascade)
    )
    return f"{ours} word error on {judgement.candidate.utterances} held-out utterances (current {current}, cascade {cascade})"


def _general_figures(judgement: Judgement) -> str:
    return f"general set {_percent(judgement.candidate.word_error_rate)} (was {_percent(judgement.current.word_error_rate)})"
