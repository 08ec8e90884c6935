"""The abilities of a house on one afternoon, without a daemon around them: a Monday in Berlin."""

from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from daemon.abilities.abilities import Abilities
from daemon.abilities.ability import LastTurn
from daemon.abilities.catalogue import Parts, built_in
from daemon.abilities.kept_lists import StoredLists
from daemon.abilities.no_house import no_house_ability
from daemon.abilities.sentences.small_talk import small_talk
from daemon.abilities.timers import Alarms
from daemon.alarms.keeper import AlarmKeeper
from daemon.alarms.shelf import AlarmShelf
from daemon.conversation.dialogue import Answer, decide
from daemon.events.bus import Events
from daemon.privacy.consent import Consent
from daemon.privacy.forgetting import Forgetting, Places
from daemon.privacy.keeping import Keeping
from daemon.privacy.private_time import PrivateTime
from daemon.privacy.receipts import Receipts
from daemon.store.store import Store
from daemon.users.users import User, Users
from engines.errors import AttuneError
from engines.types import Transcript
from tests.support.simulated_time import Time

BERLIN = ZoneInfo("Europe/Berlin")
AFTERNOON = datetime(2026, 11, 30, 17, 20, tzinfo=BERLIN)


class ServedHere:
    """Serves whom it is told to, without models."""

    def __init__(self, users: Users) -> None:
        self._users = users

    @property
    def now(self) -> User:
        return self._users.served

    def switch_later(self, user: User) -> None:
        self._users.serve(user.id)


@dataclass(frozen=True)
class Outcome:
    """What became of a request."""

    ability: str
    """The ability that answered; `model` if the language model would, or small talk in its place,
    `declined` if neither does, and `other` for "stop" and the like."""
    reply: str


@dataclass
class AbilityWorld:
    """The abilities, with nothing set and nothing on the lists."""

    folder: Path
    time: Time = field(default_factory=lambda: Time(wall=AFTERNOON.timestamp()))
    volume: float = 0.6
    forgotten: int = 0

    def __post_init__(self) -> None:
        self.store = Store(self.folder, self.time.clocks)
        self.shelf = AlarmShelf(self.store, lambda: BERLIN)
        self.keeper = AlarmKeeper(
            self.shelf, self.store, Events(), lambda text: None, lambda: None, lambda: False
        )
        self.consent = Consent(self.store)
        self.private = PrivateTime(self.store)
        self.forgetting = Forgetting(
            self.store,
            Places(
                self.folder / "generations",
                self.folder / "jobs",
                self.folder / "features",
                self.folder / "own",
                self.folder / "backup",
                self.folder / "users",
            ),
            Receipts(self.folder),
            lambda numbers: None,
            nullcontext,
            lambda: None,
        )
        self.lists = StoredLists(self.store)
        self.users = Users(self.store)
        self.serving = ServedHere(self.users)
        parts = Parts(
            self.store,
            Alarms(self.shelf, self.keeper),
            Keeping(self.consent, self.private, recordings=True),
            lambda: self.forgetting,
            self.lists,
            self.users,
            lambda: self.serving,
            lambda: self.volume,
            self._set_volume,
        )
        self.built = built_in(parts, [no_house_ability()])
        self.abilities = Abilities(
            self.built,
            lambda: self.shelf.now().local,
            lambda: True,
            self.keeper,
        )
        self.begin_anew()

    def begin_anew(self) -> None:
        """Forget all that was set and said."""
        with self.store.writing() as connection:
            for table in ("alarms", "list_items", "missed_alarms"):
                connection.execute(f"DELETE FROM {table}")
        self.private.end()
        if not self.consent.agreed:
            self.consent.decide(True, "command line")
        self.volume, self.forgotten = 0.6, 0
        self._last: LastTurn | None = None
        self._completes = ""

    def _set_volume(self, volume: float) -> None:
        self.volume = volume

    def _forget(self) -> None:
        self.forgotten += 1

    def say(self, *texts: str) -> Outcome:
        """Say the first of `texts`; the others may have been said instead."""
        move = decide(
            Transcript(texts[0]), texts[0], asks_back=False, doubted=None, quiet_seconds=1.0
        )
        outcome = self._answer(texts) if isinstance(move, Answer) else Outcome("other", "")
        self._last = LastTurn(texts[0], outcome.reply, self._forget)
        return outcome

    def _answer(self, texts: tuple[str, ...]) -> Outcome:
        found = self.abilities.answer(texts, self._last, self._completes)
        self._completes = ""
        if found is not None:
            answer = found.answer
            self._completes = answer.completes
            try:
                told = answer.act() if answer.act is not None else None
            except AttuneError as error:
                told = str(error)
            return Outcome(found.ability, told or answer.reply)
        instead = self.abilities.instead(texts[0])
        if instead is None or instead == small_talk(texts[0]):
            return Outcome("model", "")
        return Outcome("declined", instead)

    def close(self) -> None:
        self.store.close()
