"""Decides from the scores on a candidate's card whether it takes over. Pure: reads and moves
nothing."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from engines.generations.card import Card, Judgement
from engines.generations.folder import PROJECTOR

from ..judgement import (
    CERTAINTY,
    MIN_UTTERANCES,
    MIN_WORDS,
    of_recognisers,
    percent,
    proves,
    resampled,
)

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
    harmful: bool = False
    """Whether the candidate is worse in a way that no gain elsewhere makes up for."""


def verdict(card: Card) -> Verdict:
    """Promote a candidate that hears the user's held-out, confirmed utterances better and has not
    forgotten other speech.

    Better means a word error rate that is lower by MIN_GAIN, and at most MAX_WORD_ERROR; a gain on
    the retention set alone does not help the user. Neither result may be chance: a paired bootstrap
    over utterances must agree with CERTAINTY. A score that was not measured, or is not a number,
    refuses the candidate. Recognised labels are not looked at: the cascade itself wrote them.

    A round that trained a recogniser, too, is promoted if either route is better, and neither has
    forgotten other speech.
    """
    aligned = _verdict_of(card.holdout, card.general)
    if card.recogniser_share is None or card.holdout is None or card.general is None:
        return aligned
    recogniser = _verdict_of(of_recognisers(card.holdout), of_recognisers(card.general))
    if card.files and PROJECTOR not in card.files:
        return recogniser
    told = f"its recogniser alone: {recogniser.reason}"
    if aligned.harmful or recogniser.harmful:
        return Verdict(False, aligned.reason if aligned.harmful else f"refused: {told}", True)
    if aligned.promote:
        return Verdict(True, f"{aligned.reason}; {told}")
    if recogniser.promote:
        return Verdict(True, f"promoted for {told}; the aligned route: {aligned.reason}")
    return Verdict(False, f"{aligned.reason}; {told}")


def _verdict_of(holdout: Judgement | None, general: Judgement | None) -> Verdict:
    if holdout is None or not proves(holdout):
        return _refused(_too_little(holdout))
    if general is None or general.candidate.words == 0:
        return _refused("the retention set was not judged, so nothing shows what was forgotten")
    figures = f"{_holdout_figures(holdout)}; {_general_figures(general)}"
    if not _gain(general) >= -GENERAL_SLACK:
        return replace(_refused(f"it forgot too much: {figures}"), harmful=True)
    kept = _share(general, lambda gain: gain >= -GENERAL_SLACK)
    if not kept >= CERTAINTY:
        told = f"it may have forgotten too much (it did in {1 - kept:.0%} of resampled sets)"
        return replace(_refused(f"{told}: {figures}"), harmful=True)
    if not _gain(holdout) >= MIN_GAIN:
        return _refused(f"no better for this user: {figures}")
    if (beyond := _beyond(holdout)) is not None:
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
    if card.holdout is None:
        return None
    recognisers = of_recognisers(card.holdout)
    if recognisers is not None and _beyond(recognisers) is None:
        return None
    return _beyond(card.holdout)


def _beyond(holdout: Judgement) -> Verdict | None:
    if holdout.candidate.word_error_rate <= MAX_WORD_ERROR:
        return None
    return _refused(
        f"more than {MAX_WORD_ERROR:.0%} of the words are misheard: {_holdout_figures(holdout)}"
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
