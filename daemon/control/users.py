"""Carries out the requests about users."""

from pathlib import Path

from engines.errors import AttuneError

from ..events.event import Event
from ..events.users import UsersListed, UserStatus, UtterancesMoved
from ..privacy.scope import Scope, find
from ..serving.manager import ModelManager
from ..serving.served_user import ServedUser
from ..store.store import Store
from ..users.moving import assign, merge, split
from ..users.places import forget_pointers
from ..users.recognition import VoiceRecognition
from ..users.users import User, Users, is_called
from . import requests


class UserHandler:
    """The requests about users, in a running daemon."""

    def __init__(
        self,
        store: Store,
        users: Users,
        served: ServedUser,
        recognition: VoiceRecognition,
        models: ModelManager,
        generations: Path,
    ) -> None:
        self._store = store
        self._users = users
        self._served = served
        self._recognition = recognition
        self._models = models
        self._generations = generations

    def answer(self, request: requests.ManageUsers) -> Event:
        """Carry out a request. Raises AttuneError if it cannot be."""
        self.settle()
        name, to = request.name or "", request.to or ""
        match request.action:
            case "add":
                self._add(name)
            case "rename":
                self._users.rename(self._users.named(name).id, to)
            case "serve":
                self._served.switch(self._users.named(name))
            case "merge":
                return self._merge(self._users.named(name), self._users.named(to))
            case "split":
                return self._split(self._users.named(name), to, request.utterances)
            case "list":
                pass
        return self.listed()

    def assign(self, request: requests.AssignUtterances) -> Event:
        """Note whose voice recordings are. Raises AttuneError if there is no such user or
        recording."""
        user = None if request.user is None else self._users.named(request.user)
        count = assign(
            self._store, self._whole(request.utterances), None if user is None else user.id
        )
        return UtterancesMoved(name="" if user is None else user.name, count=count)

    def settle(self) -> None:
        """Serve the user whom somebody has named by voice, if there is one. Raises AttuneError if
        that cannot be stored."""
        self._served.switch_if_due()

    def tell(self) -> None:
        """Tell whose voice everything is that was said."""
        self._recognition.tell()

    def _add(self, name: str) -> User:
        """Add a user, who has learnt nothing: also where a database was lost, and pointers of a
        user with the same number were not."""
        user = self._users.add(name)
        forget_pointers(self._generations, user.id)
        return user

    def listed(self) -> UsersListed:
        """Return every user, and what is known of their voices."""
        rows = self._store.rows(
            "SELECT coalesce(user, 0), coalesce(user_by, ''), count(*) FROM utterances GROUP BY 1,"
            " 2"
        )
        counts = {(user, by): count for user, by, count in rows}
        return UsersListed(
            users=tuple(self._status(user, counts) for user in self._users.all),
            strangers=counts.get((0, "voice"), 0) + counts.get((0, "hand"), 0),
            unclear=counts.get((0, "unclear"), 0),
            not_looked_at=counts.get((0, ""), 0),
            by_voice=self._served.by_voice,
        )

    def _status(self, user: User, counts: dict[tuple[int, str], int]) -> UserStatus:
        generation, _ = self._models.moves_of(user.id).usable()
        return UserStatus(
            name=user.name,
            served=user.id == self._users.served.id,
            enrolled=counts.get((user.id, "enrolled"), 0) + counts.get((user.id, "hand"), 0),
            by_voice=counts.get((user.id, "voice"), 0),
            known_by_voice=user.id in self._recognition.profiles,
            generation=None if generation is None else generation.number,
            since=user.created_at,
            doubtful=self._recognition.doubtful(user.id),
        )

    def _merge(self, gone: User, into: User) -> Event:
        if self._users.is_first(gone):
            raise AttuneError(
                f"{gone.name} is the first user, who stays; merge {into.name} into {gone.name}"
            )
        if gone.id == self._users.served.id:
            self._served.switch(into)
        count = merge(self._store, self._users, gone, into)
        forget_pointers(self._generations, gone.id)
        self._recognition.tell(0)
        return UtterancesMoved(name=into.name, count=count)

    def _split(self, user: User, name: str, examples: tuple[str, ...]) -> Event:
        whole = self._whole(examples)
        new = next((one for one in self._users.all if is_called(one, name)), None)
        if new is not None and new.id == user.id:
            raise AttuneError(f"{user.name} is that user already; give another name")
        count = split(self._store, user, whole, lambda: (new or self._add(name)).id)
        self._recognition.tell(0)
        return UtterancesMoved(name=name, count=count)

    def _whole(self, names: tuple[str, ...]) -> list[str]:
        return list(find(self._store, Scope(utterances=names)).utterances)
