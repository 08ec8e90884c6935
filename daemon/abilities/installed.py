"""Finds the abilities of other packages, by their entry points."""

import logging
from collections.abc import Iterable, Sequence
from importlib.metadata import EntryPoint, entry_points

from .ability import Ability
from .patience import patient
from .sentences.understanding import Understanding

logger = logging.getLogger(__name__)

GROUP = "attune.abilities"


def installed_abilities(
    taken: Sequence[str], found: Iterable[EntryPoint] | None = None
) -> list[Ability]:
    """Return the abilities that other packages name in the entry points GROUP, or in `found`. One
    that cannot be used is left out, and the log says why; so is one whose name is in `taken`. What
    they do is bounded in time (`patience.py`)."""
    abilities: list[Ability] = []
    for entry in entry_points(group=GROUP) if found is None else found:
        names = [*taken, *(ability.name for ability in abilities)]
        ability = _loaded(entry, names)
        if ability is not None:
            logger.info("the ability %s comes from %s", ability.name, entry.value)
            abilities.append(patient(ability))
    return abilities


def _loaded(entry: EntryPoint, taken: Sequence[str]) -> Ability | None:
    try:
        ability = entry.load()
        if not isinstance(ability, Ability):
            raise TypeError(f"it is a {type(ability).__name__}, and has to be an Ability")
        if ability.name in taken:
            raise ValueError(f"there is an ability {ability.name} already")
        Understanding([ability])
    except Exception:  # whatever another's code raises, the daemon goes on without it
        logger.exception("the ability %s (%s) is left out", entry.name, entry.value)
        return None
    return ability
