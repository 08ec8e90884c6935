"""Makes the abilities of a daemon, and what rings for them.

Makes the parts and wires them, as `daemon/app.py` does for the rest.
"""

import logging
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from engines.errors import AttuneError
from engines.llm.gguf_file import parameters

from .abilities.abilities import Abilities, Found
from .abilities.ability import Ability
from .abilities.catalogue import Parts, built_in
from .abilities.installed import installed_abilities
from .abilities.kept_lists import HouseLists, StoredLists
from .abilities.no_house import no_house_ability
from .abilities.patience import patient
from .abilities.personal.privacy import consent_question
from .abilities.personal.users import Serving
from .abilities.timers import Alarms
from .alarms.keeper import AlarmKeeper
from .alarms.local_zone import zone_reader
from .alarms.shelf import AlarmShelf
from .alarms.words import listed
from .attention import Attention
from .config.settings import Settings
from .events.bus import Events
from .house.client import HomeAssistant, read_token
from .house.watch import HouseWatch
from .privacy.consent import QUESTION
from .privacy.forgetting import Forgetting
from .privacy.keeping import Keeping
from .speaking.speaker import Speaker
from .store.store import Store
from .users.users import Users

logger = logging.getLogger(__name__)

LEAST_PARAMETERS = 500_000_000
"""The weights of the smallest language model that answers questions, unless the settings say
otherwise."""
_ASK_AFTER_TURNS = 3


@dataclass(frozen=True)
class OwnAbilities:
    """The abilities, and what belongs to them."""

    abilities: Abilities | None
    """None if the settings want none."""
    shelf: AlarmShelf
    keeper: AlarmKeeper
    house: HouseWatch | None
    """None if there is no house to be reached."""

    @property
    def words(self) -> list[str]:
        """Names that are likelier to be said than other words."""
        try:
            return self.abilities.words if self.abilities is not None else []
        except AttuneError as error:  # hearing goes on without them
            logger.warning("names of timers and lists are not expected: %s", error)
            return []

    @property
    def problem(self) -> str:
        """Why the house cannot be reached; empty if it can, or there is none."""
        return self.house.problem if self.house is not None else ""

    def told_alarms(self) -> tuple[str, ...]:
        """Every timer, alarm and reminder, for people."""
        now = self.shelf.now()
        return tuple(
            f"{alarm.kind}: {listed(alarm, now).removeprefix('one ')}" for alarm in self.shelf.all()
        )


def make_abilities(
    stack: ExitStack,
    settings: Settings,
    store: Store,
    keeping: Keeping,
    forgetting: Callable[[], Forgetting],
    users: Users,
    served: Callable[[], Serving],
    speaker: Speaker | None,
    attention: Attention,
    events: Events,
    replying_model: Callable[[], Path],
) -> OwnAbilities:
    """Make the abilities. The caller starts the keeper of alarms; leaving `stack` ends it.
    `replying_model` returns the file of the language model that replies. Raises AttuneError if the
    settings name an ability that there is not."""
    shelf = AlarmShelf(store, zone_reader(settings.abilities.time_zone))
    ringer = _Ringer(speaker)
    keeper = AlarmKeeper(
        shelf,
        store,
        events,
        ringer.ring,
        ringer.hush,
        lambda: attention.needed and not ringer.rings,
    )
    stack.callback(keeper.stop)
    if not settings.abilities.enabled:
        return OwnAbilities(None, shelf, keeper, None)
    house, at_home = _house(stack, settings)
    stored = StoredLists(store)
    parts = Parts(
        store,
        Alarms(shelf, keeper),
        keeping,
        forgetting,
        stored if house is None else HouseLists(house.assistant, lambda: house.home, stored),
        users,
        served,
    )
    if speaker is not None:
        parts = replace(parts, volume=lambda: speaker.volume, set_volume=speaker.set_volume)
    names = [ability.name for ability in built_in(parts, [at_home])]
    found = built_in(parts, [at_home, *installed_abilities(names)])
    unknown = set(settings.abilities.left_out) - {ability.name for ability in found}
    if unknown:
        raise AttuneError(
            f"abilities.without names {sorted(unknown)[0]!r}, which is none; they are:"
            f" {', '.join(sorted(ability.name for ability in found))}"
        )
    kept = [one for one in found if one.name not in settings.abilities.left_out]
    if house is not None:  # whose lists may hang
        kept = [patient(one) if one.name == "lists" else one for one in kept]
    abilities = Abilities(
        kept,
        lambda: shelf.now().local,
        lambda: knows_little(settings, replying_model()),
        keeper,
        settings.abilities.place,
        ConsentQuestion(keeping) if any(one.name == "privacy" for one in kept) else lambda: None,
    )
    return OwnAbilities(abilities, shelf, keeper, house)


class ConsentQuestion:
    """Puts the question whether what is said may be kept, once, when somebody has seen what Attune
    is: after a few turns."""

    def __init__(self, keeping: Keeping) -> None:
        self._keeping = keeping
        self._turns = 0

    def __call__(self) -> Found | None:
        """Return the question, if it is to be put now."""
        keeping = self._keeping
        if not keeping.recordings or not keeping.consent.to_be_asked:
            return None
        self._turns += 1
        if self._turns < _ASK_AFTER_TURNS:
            return None
        keeping.consent.note_asked()
        question = consent_question(keeping.consent, f"May I ask you something? {QUESTION}")
        return Found("privacy", question)


def _house(stack: ExitStack, settings: Settings) -> tuple[HouseWatch | None, Ability]:
    """Make the ability that reaches the house, and what asks for its rooms and devices; or, without
    a house, one that says so. Raises AttuneError if the token cannot be read."""
    if not settings.house.url:
        return None, no_house_ability()
    # Imported where it is wanted: it takes memory.
    from .abilities.house import House, house_ability

    assistant = HomeAssistant(settings.house.url, read_token(Path(settings.house.token_file)))
    house = House(assistant)
    watch = HouseWatch(assistant, house.use)
    watch.start()
    stack.callback(watch.stop)
    return watch, patient(house_ability(house))


def knows_little(settings: Settings, model: Path) -> bool:
    """Return whether the language model `model` is too weak to answer questions."""
    wanted = settings.conversation.answer_questions
    return not wanted if wanted != "auto" else _parameters(model) < LEAST_PARAMETERS


@cache
def _parameters(model: Path) -> int:
    try:
        return parameters(model)
    except AttuneError as error:
        logger.warning("the size of the language model is not known: %s", error)
        return LEAST_PARAMETERS


class _Ringer:
    """Makes a sound and says a text, through the voice if there is one."""

    def __init__(self, speaker: Speaker | None) -> None:
        self._speaker = speaker
        self._speeches = 0

    @property
    def rings(self) -> bool:
        """Whether a text is being said for an alarm."""
        return self._speeches > 0

    def ring(self, text: str) -> None:
        """Ring once. Returns at once."""
        if self._speaker is None or self.rings:
            return

        def ended(said: object) -> None:
            self._speeches -= 1

        self._speeches += 1
        self._speaker.play("alarm")
        speech = self._speaker.begin(ended)
        speech.push(text)
        speech.finish()

    def hush(self) -> None:
        """Fall silent."""
        if self._speaker is not None and self.rings:
            self._speaker.stop()
