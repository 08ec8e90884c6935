"""Rolls back the served generation if it turned out worse in use: if its turns are corrected more
often than those of the generations before it."""

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
    """Turns of the served generation, and of all before it, that are needed: fewer say nothing."""
    chance: float = 0.02
    """A rollback needs corrections that are no more probable than this for a generation that is no
    worse than those before it."""


def look_back(served: ModelManager, store: Store, events: Events) -> None:
    """Roll back to the previous generation if the current one turned out worse than those before
    it."""
    number = served.routes.generation
    if not number:  # there is nothing before the base
        return
    why = regression(*store.history.use(number, served.user))
    if why is None:
        return
    reason = f"generation {number:04d} was rolled back: {why}"
    try:
        # Another generation may have become current meanwhile.
        back = served.moves.roll_back(reason, expected=number)
    except AttuneError as error:
        logger.warning(
            "generation %04d should be rolled back (%s), but cannot be: %s", number, why, error
        )
        return
    logger.warning("%s", reason)
    events.publish(RolledBack(generation=back.number, reason=reason))


def regression(now: Use, before: Use, limits: RegressionLimits = RegressionLimits()) -> str | None:
    """Say why the served generation should be rolled back, for the user, or return None if nothing
    shows that it should.

    The test is Fisher's exact test, one-sided.
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
    """Return the probability of at least `now.corrected` corrections among `now.turns`, if all
    corrections were spread over all turns by chance."""
    turns, corrected = now.turns + before.turns, now.corrected + before.corrected
    ways = sum(
        comb(corrected, here) * comb(turns - corrected, now.turns - here)
        for here in range(now.corrected, min(corrected, now.turns) + 1)
    )
    return ways / comb(turns, now.turns)
