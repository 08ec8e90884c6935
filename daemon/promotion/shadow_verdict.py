"""Decides whether a candidate that heard turns in shadow takes over. Pure: knows no store and no
route.

The words of a turn are known if the user confirmed them, or if the served generation was sure of
them and the user did not correct it. A generation that is sure is sometimes wrong, so the candidate
is refused only by a clear majority against it: it has passed its verdict before.
"""

from collections.abc import Sequence
from math import comb

from ..store.label_check import same_words
from ..store.records import ShadowReading
from .verdict import Verdict

CHANCE = 0.05
"""A refusal needs errors that are no more probable than this for a candidate that hears as well as
the served generation."""


def shadow_verdict(turns: Sequence[ShadowReading]) -> Verdict:
    """Refuse the candidate if it misheard clearly more of the turns whose words are known: by a
    sign test over those that only one of the two generations heard right."""
    known = [turn for turn in turns if turn.meant is not None]
    rights = [
        (same_words(turn.heard, turn.meant), same_words(turn.shadow_heard, turn.meant))
        for turn in known
        if turn.meant
    ]
    worse, better = rights.count((True, False)), rights.count((False, True))
    otherwise = sum(not same_words(one.heard, one.shadow_heard) for one in turns)
    figures = (
        f"of {len(turns)} turns in shadow {otherwise} were heard differently; "
        f"of {len(known)} whose words are known {worse} only wrong now, {better} only right now"
    )
    if chance_of(worse, better) <= CHANCE:
        return Verdict(False, f"refused: {figures}")
    return Verdict(True, f"promoted: {figures}")


def chance_of(worse: int, better: int) -> float:
    """Return the probability of at least `worse` among `worse + better` turns, if each were as
    likely to be worse as better."""
    differ = worse + better
    return sum(comb(differ, count) for count in range(worse, differ + 1)) / (1 << differ)
