"""How long a person's silence has to be before it ends the turn: learnt from the pauses within
their sentences. Pure.

Of a hundred sentences, two may be cut. So the silence is the one that 98 of 100 sentences stay
below in their longest pause, and a margin. Until enough is known of a person, sentences of a usual
speaker count with theirs.
"""

from collections.abc import Sequence
from math import ceil

USUAL_SECONDS = 0.6
"""The silence that ends the turns of somebody who was never heard."""
LEAST_SECONDS, MOST_SECONDS = 0.4, 2.5
LEAST_EARLY_SECONDS = 0.2
"""The shortest silence after which an answer is begun: within words there are shorter ones."""
LOOKED_AT = 200
"""The latest sentences that are looked at: people change."""
_EARLY_SHARE = 0.4
_CUT_SHARE = 0.02
_MARGIN_SECONDS = 0.15
_USUAL_PAUSES = (0.0,) * 20 + (0.1,) * 5 + (0.3,) * 3 + (USUAL_SECONDS - _MARGIN_SECONDS,) * 2
"""The longest pauses of a usual speaker's sentences, which count with the person's own until those
are many more."""


def end_silence_seconds(longest_pauses: Sequence[float]) -> float:
    """The silence that ends a turn of somebody with these longest pauses within their sentences,
    between LEAST_SECONDS and MOST_SECONDS."""
    own = list(longest_pauses)[:LOOKED_AT]
    usual = _USUAL_PAUSES if len(own) < 2 * len(_USUAL_PAUSES) else ()
    pauses = sorted([*own, *usual])
    # One more is counted than there are: with few sentences, the longest pause is yet to come.
    place = min(len(pauses), ceil((1 - _CUT_SHARE) * (len(pauses) + 1))) - 1
    return float(min(MOST_SECONDS, max(LEAST_SECONDS, pauses[place] + _MARGIN_SECONDS)))


def early_seconds(end_seconds: float) -> float:
    """The silence after which a turn may have ended, and an answer is begun, for a person whose
    turns end after `end_seconds`."""
    return max(LEAST_EARLY_SECONDS, min(_EARLY_SHARE * end_seconds, 0.8))
