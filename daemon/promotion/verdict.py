"""Decides from the scores on a candidate's card whether it takes over. Pure: reads and moves
nothing."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engines.generations.card import Card, Judgement

from ..judgement import CERTAINTY, MIN_UTTERANCES, MIN_WORDS, percent, proves, resampled

MIN_GAIN = 0.005
"""By how much the candidate's word error rate on the holdout must be lower than the current
generation's; absolute, 0.01 is one percentage point."""
GENERAL_SLACK = 0.03
"""By how much the candidate's word error rate on the retention set may be higher; absolute."""
MAX_WORD_ERROR = 0.5
"""Word error rate on the holdout above which no candidate is promoted, however bad the current
generation is. If every second word is wrong, no request is understood; and if labels do not fit
their recordings, every generation and the cascade are above it. Speakers for whom ordinary
recognisers do not work start at 0.6 to 1.0; a round that brings them to 0.3 is promoted, though it
earns no route yet."""


@dataclass(frozen=True)
class Verdict:
    promote: bool
    reason: str
    """Why the candidate is promoted or refused, for the user, with the figures."""


def verdict(card: Card) -> Verdict:
    """Promote a candidate that hears the user's held-out, confirmed utterances better and has not
    forgotten other speech.

    Better means a word error rate that is lower by MIN_GAIN, and at most MAX_WORD_ERROR; a gain on
    the retention set alone does not help the user. Neither result may be chance: a paired bootstrap
    over utterances must agree with CERTAINTY. A score that was not measured, or is not a number,
    refuses the candidate. Recognised labels are not looked at: the cascade itself wrote them.
    """
    holdout, general = card.holdout, card.general
    if holdout is None or not proves(holdout):
        return _refused(_too_little(holdout))
    if general is None or general.candidate.words == 0:
        return _refused("the retention set was not judged, so nothing shows what was forgotten")
    figures = f"{_holdout_figures(holdout)}; {_general_figures(general)}"
    if not _gain(general) >= -GENERAL_SLACK:
        return _refused(f"it forgot too much: {figures}")
    kept = _share(general, lambda gain: gain >= -GENERAL_SLACK)
    if not kept >= CERTAINTY:
        return _refused(
            f"it may have forgotten too much (it did in {1 - kept:.0%} of resampled sets):"
            f" {figures}"
        )
    if not _gain(holdout) >= MIN_GAIN:
        return _refused(f"no better for this user: {figures}")
    if (beyond := beyond_bounds(card)) is not None:
        return beyond
    better = _share(holdout, lambda gain: gain > 0)
    if not better >= CERTAINTY:
        return _refused(
            f"that it is better may be chance (it is in {better:.0%} of resampled sets): {figures}"
        )
    return Verdict(True, f"promoted: {figures}")


def beyond_bounds(card: Card) -> Verdict | None:
    """Refuse a candidate that mishears too many of the user's words, whatever else speaks for it.
    Returns None for any other candidate."""
    if card.holdout is None or card.holdout.candidate.word_error_rate <= MAX_WORD_ERROR:
        return None
    return _refused(
        f"more than {MAX_WORD_ERROR:.0%} of the words are misheard:"
        f" {_holdout_figures(card.holdout)}"
    )


def would_refuse(card: Card) -> str:
    """Return the warning for a user who makes a generation current that its verdict refuses; empty
    if its verdict promotes it."""
    if card.parent is None or (judged := verdict(card)).promote:
        return ""
    return (
        f"generation {card.number:04d} is served because you say so; its verdict was:"
        f" {judged.reason}"
    )


def _too_little(judgement: Judgement | None) -> str:
    utterances = 0 if judgement is None else judgement.candidate.utterances
    if judgement is None or utterances < MIN_UTTERANCES:
        return (
            f"{utterances} held-out utterances with a confirmed text, {MIN_UTTERANCES} needed;"
            " enrol or correct more"
        )
    words = judgement.candidate.words
    return (
        f"{words} words in {utterances} held-out utterances, {MIN_WORDS} needed; enrol or correct"
        " more, and longer ones"
    )


def _gain(judgement: Judgement) -> float:
    """Return by how much the candidate's word error rate is lower than the current generation's,
    rounded so that a difference of exactly the limit counts on every machine."""
    return round(judgement.current.word_error_rate - judgement.candidate.word_error_rate, 9)


def _share(
    judgement: Judgement, holds: Callable[[NDArray[np.float64]], NDArray[np.bool_]]
) -> float:
    """Return the share of resampled sets of a judgement's utterances for which `holds` is true of
    the gain; 0 if the card does not say how each utterance was heard."""
    if not judgement.utterances:
        return 0.0
    words, gained = np.array(
        [(some.words, some.current - some.candidate) for some in judgement.utterances]
    ).T
    return float(holds(np.round(resampled(words, gained), 9)).mean())


def _refused(why: str) -> Verdict:
    return Verdict(False, f"refused: {why}")


def _holdout_figures(judgement: Judgement) -> str:
    ours, current, cascade = (
        percent(score.word_error_rate)
        for score in (judgement.candidate, judgement.current, judgement.cascade)
    )
    return (
        f"{ours} word error on {judgement.candidate.utterances} held-out utterances (current"
        f" {current}, cascade {cascade})"
    )


def _general_figures(judgement: Judgement) -> str:
    return (
        f"retention set {percent(judgement.candidate.word_error_rate)} (was"
        f" {percent(judgement.current.word_error_rate)})"
    )
