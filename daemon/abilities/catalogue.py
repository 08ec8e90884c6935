"""Every ability that comes with Attune."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..privacy.forgetting import Forgetting
from ..privacy.keeping import Keeping
from ..store.store import Store
from ..users.users import Users
from .ability import Ability
from .alarms import alarm_ability
from .arithmetic import arithmetic_ability
from .clock import clock_ability
from .help import help_ability
from .lists import Lists, list_ability
from .personal.privacy import privacy_ability
from .personal.users import Serving, user_ability
from .reminders import reminder_ability
from .timers import Alarms, timer_ability
from .units import unit_ability
from .voice import talk_ability, volume_ability


@dataclass(frozen=True)
class Parts:
    """What the abilities reach of the daemon."""

    store: Store
    alarms: Alarms
    keeping: Keeping
    forgetting: Callable[[], Forgetting]
    lists: Lists
    users: Users
    served: Callable[[], Serving]
    volume: Callable[[], float] | None = None
    """The volume of the voice; None if there is no voice."""
    set_volume: Callable[[float], None] = lambda volume: None


def built_in(parts: Parts, others: Sequence[Ability] = ()) -> list[Ability]:
    """The abilities that come with Attune, and `others`."""
    found = [
        clock_ability(),
        timer_ability(parts.alarms),
        alarm_ability(parts.alarms),
        reminder_ability(parts.alarms),
        list_ability(parts.lists),
        arithmetic_ability(),
        unit_ability(),
        talk_ability(),
        privacy_ability(parts.store, parts.keeping, parts.forgetting),
        user_ability(parts.users, parts.served),
    ]
    if parts.volume is not None:
        found.append(volume_ability(parts.volume, parts.set_volume))
    found += others
    return [*found, help_ability(found)]
