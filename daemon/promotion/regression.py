"""Whether the generation that is served turned out worse in use: whether its turns are corrected
more often than others' were."""

import logging
from dataclasses import dataclass
from math import comb

from engines.errors import AttuneError

from ..events.bus import Events
from ..events.learning import RolledBack
from ..serving.manager import ModelManager
from ..store.records import Use
from ..store.store import Store

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class RegressionLimits:
    min_turns: int = 20
    """Of the served generation, and of all before it: fewer say nothing."""
    chance: float = 0.02
    """How improbable so many corrections must be for a generation that is no worse than what was
    before it."""


def look_back(served: ModelManager, store: Store, events: Events) -> None:
    """Serve the previous generation again where the current one turned out worse than what was
    before it."""
    number = served.routes.generation
    if not number:  # what came with Attune is rolled back to nothing
        return
    reason = regression(*store.history.use(number))
    if reason is None:
        return
    reason = f"generation {number:04d} gave way: {reason}"
    try:
        # Another may have come to be served meanwhile.
        back = served.moves.roll_back(reason, expected=number)
    except AttuneError as error:
        logger.warning("%s; but it cannot: %s", reason, error)
        return
    logger.warning("%s", reason)
    events.publish(RolledBack(generation=back.number, reason=reason))


def regression(now: Use, before: Use, limits: RegressionLimits = RegressionLimits()) -> str | None:
    """Why the served generation should give way, for people; None where nothing shows that it
    should.

    Fisher's exact test, one-sided.
    """
    if (
        min(now.turns, before.turns) < limits.min_turns
        or now.corrected * before.turns <= before.corrected * now.turns
    ):
        return None
    if chance_of(now, before) > limits.chance:
        return None
    return (
        f"corrections rose: {now.corrected} of {now.turns} turns since it is served,"
        f" {before.corrected} of {before.turns} before"
    )


def chance_of(now: Use, before: Use) -> float:
    """The probability of at least `now.corrected` among `now.turns`, were all corrections spread
    over all turns by chance."""
    turns, corrected = now.turns + before.turns, now.corrected + before.corrected
    ways = sum(
        comb(corrected, here) * comb(turns - corrected, now.turns - here)
        for here in range(now.corrected, min(corrected, now.turns) + 1)
    )
    return ways / comb(turns, now.turns)
