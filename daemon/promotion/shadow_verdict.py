"""Whether a candidate that heard turns in the shadow of the served generation takes over. Pure:
knows no store and no route.

A turn's words are known where a person confirmed them, and where the served generation was sure of
them and nobody corrected it. What is sure is wrong now and then, so only a clear majority against
the candidate refuses it: it has passed its verdict before.
"""

from collections.abc import Sequence
from math import comb

from ..store.label_check import same_words
from ..store.records import ShadowReading
from .verdict import Verdict

CHANCE = 0.05
"""How improbable it must be, for a candidate that hears no worse, to be wrong so much more
often."""


def shadow_verdict(turns: Sequence[ShadowReading]) -> Verdict:
    """Refuse where the candidate misheard more of the turns whose words are known, by a sign test
    over those that only one of the two heard right."""
    known = [turn for turn in turns if turn.meant is not None]
    rights = [
        (same_words(turn.heard, turn.meant), same_words(turn.shadow_heard, turn.meant))
        for turn in known
        if turn.meant
    ]
    worse, better = rights.count((True, False)), rights.count((False, True))
    otherwise = sum(not same_words(one.heard, one.shadow_heard) for one in turns)
    figures = (
        f"of {len(turns)} turns in shadow {otherwise} were heard otherwise; "
        f"of {len(known)} whose words are known {worse} only wrong now, {better} only right now"
    )
    if chance_of(worse, better) <= CHANCE:
        return Verdict(False, f"refused: {figures}")
    return Verdict(True, f"promoted: {figures}")


def chance_of(worse: int, better: int) -> float:
    """The probability of at least `worse` among all that differ, were each as likely to be one as
    the other."""
    differ = worse + better
    return sum(comb(differ, count) for count in range(worse, differ + 1)) / (1 << differ)
