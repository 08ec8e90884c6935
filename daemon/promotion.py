"""Whether a candidate takes over, and which route it has earned, from the scores on its card. Pure: reads and moves nothing."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from engines.card import Card, Judgement, Score

RouteName = Literal["cascade", "aligned"]
WhenUnsure = Literal["cascade", "ask", "answer"]

_CASCADE_HEARS_WELL = 0.25
"""Word error rate on the holdout up to which the cascade's words are better than a question back."""
_RESAMPLES = 2000


@dataclass(frozen=True)
class PromotionLimits:
    min_gain: float = 0.005
    """Word error rate by which the candidate must be better on the holdout; absolute, 0.01 is one percentage point."""
    general_slack: float = 0.03
    """Word error rate by which it may be worse on the general set; absolute."""
    min_holdout_utterances: int = 3
    """Fewer held-out utterances than this prove nothing."""
    certainty: float = 0.9
    """Share of resampled sets of utterances that must say the same: a gain on a few of them may be chance."""


@dataclass(frozen=True)
class Verdict:
    promote: bool
    reason: str
    """For people, with the figures."""


def verdict(card: Card, limits: PromotionLimits = PromotionLimits()) -> Verdict:
    """Promote when the candidate hears the user's held-out, confirmed utterances better and has not forgotten the rest.

    Better means a lower word error rate by `min_gain`, or one no higher with as large a gain on the general set. Neither a gain
    nor its not having forgotten may be chance: a paired bootstrap over utterances must agree with `certainty`. Whatever was
    not measured, and whatever is not a number, refuses. Recognised labels are not looked at: the cascade itself wrote them.
    """
    holdout, general = card.holdout, card.general
    if holdout is None or not _proves(holdout, limits):
        found = 0 if holdout is None else holdout.candidate.utterances
        return _refused(
            f"{found} held-out utterances with a confirmed text, {limits.min_holdout_utterances} needed; enrol or correct more"
        )
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
    better = max(_share(judged, lambda gain: gain > 0) for judged in gains)
    if not better >= limits.certainty:
        return _refused(f"that it is better may be chance (it is in {better:.0%} of resampled sets): {figures}")
    return Verdict(True, f"promoted: {figures}")


@dataclass(frozen=True)
class Measured:
    """How a generation and the cascade heard the same held-out utterances, whose texts a person confirmed."""

    own: Score
    cascade: Score


def measured(card: Card, later: Sequence[Card] = (), limits: PromotionLimits = PromotionLimits()) -> Measured | None:
    """By the newest judgement that proves anything; None where there is none.

    A generation is judged as a candidate, by its own card, and again as the current one by the cards of those that were trained
    from it, `later`, the newest last: what came with Attune is judged for this user by nothing else.
    """
    for child in reversed(later):
        if child.holdout is not None and _proves(child.holdout, limits):
            return Measured(child.holdout.current, child.holdout.cascade)
    if card.holdout is not None and _proves(card.holdout, limits):
        return Measured(card.holdout.candidate, card.holdout.cascade)
    return None


def earned_route(card: Card, later: Sequence[Card] = (), limits: PromotionLimits = PromotionLimits()) -> tuple[RouteName, str]:
    """The route that a generation has earned: aligned where, as far as it was `measured`, it beats or equals the cascade."""
    found = measured(card, later, limits)
    if found is None:
        return (
            "cascade",
            f"generation {card.number:04d} was not judged on enough confirmed utterances to take over from the cascade",
        )
    ours, theirs = found.own.word_error_rate, found.cascade.word_error_rate
    figures = f"{_percent(ours)} word error on {found.own.utterances} held-out utterances, cascade {_percent(theirs)}"
    return ("aligned", f"earned: {figures}") if ours <= theirs < inf else ("cascade", f"not earned yet: {figures}")


def when_unsure(card: Card, later: Sequence[Card] = (), limits: PromotionLimits = PromotionLimits()) -> WhenUnsure:
    """What a doubted utterance leads to: the cascade's words where it hears this user well, else a question back."""
    found = measured(card, later, limits)
    if found is None:
        return "cascade"  # nothing says that it hears this user badly
    return "cascade" if found.cascade.word_error_rate <= _CASCADE_HEARS_WELL else "ask"


def _percent(rate: float) -> str:
    return f"{100 * rate:.1f} %"


def _proves(judgement: Judgement, limits: PromotionLimits) -> bool:
    scores: tuple[Score, ...] = (judgement.candidate, judgement.current, judgement.cascade)
    return all(score.words > 0 and score.utterances >= max(1, limits.min_holdout_utterances) for score in scores)


def _gain(judgement: Judgement) -> float:
    """Rounded, so that a difference of exactly the limit counts on every machine."""
    return round(judgement.current.word_error_rate - judgement.candidate.word_error_rate, 9)


def _share(judgement: Judgement, holds: Callable[[NDArray[np.float64]], NDArray[np.bool_]]) -> float:
    """Of sets of as many utterances drawn from a judgement's own, in how many the gain `holds`; 0 where the card does not say how
    each was heard."""
    if not judgement.utterances:
        return 0.0
    words, gained = np.array([(some.words, some.current - some.candidate) for some in judgement.utterances]).T
    drawn = np.random.default_rng(0).integers(len(words), size=(_RESAMPLES, len(words)))
    gains = gained[drawn].sum(axis=1) / np.maximum(words[drawn].sum(axis=1), 1)
    return float(holds(np.round(gains, 9)).mean())


def _refused(why: str) -> Verdict:
    return Verdict(False, f"refused: {why}")


def _holdout_figures(judgement: Judgement) -> str:
    ours, current, cascade = (
        _percent(score.word_error_rate) for score in (judgement.candidate, judgement.current, judgement.cascade)
    )
    return f"{ours} word error on {judgement.candidate.utterances} held-out utterances (current {current}, cascade {cascade})"


def _general_figures(judgement: Judgement) -> str:
    return f"general set {_percent(judgement.candidate.word_error_rate)} (was {_percent(judgement.current.word_error_rate)})"
