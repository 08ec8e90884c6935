"""The users, and which of them is served. Knows no voice."""

import threading
from dataclasses import dataclass

from engines.errors import AttuneError

from ..store.records import FIRST_USER
from ..store.store import Store

MOST_USERS = 12
MOST_NAME_CHARACTERS = 40
UNNAMED = "first user"
"""What the first user is called until they say otherwise."""


@dataclass(frozen=True)
class User:
    """One user."""

    id: int
    name: str
    created_at: float
    """Seconds since the epoch."""


class Users:
    """The users in a store. Safe to use from several threads."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._all = self._read()
        [(self._served,)] = store.rows("SELECT user FROM served_user")
        if self._served not in self._all:  # removed, and the process was killed then
            self._served = FIRST_USER

    @property
    def all(self) -> list[User]:
        """All users, in the order in which they came."""
        return list(self._all.values())

    @property
    def served(self) -> User:
        """The user who is served now."""
        return self._all[self._served]

    @staticmethod
    def is_first(user: User) -> bool:
        """Whether this is the user who is always there."""
        return user.id == FIRST_USER

    @staticmethod
    def is_unnamed(user: User) -> bool:
        """Whether this user never said a name."""
        return user.name == UNNAMED

    def get(self, user: int) -> User | None:
        """The user with the id `user`; None if there is none."""
        return self._all.get(user)

    def named(self, name: str) -> User:
        """The user of that name. Raises AttuneError if there is none."""
        for user in self.all:
            if is_called(user, name):
                return user
        raise AttuneError(
            f"there is no user {name}; users are: {', '.join(user.name for user in self.all)}"
        )

    def add(self, name: str) -> User:
        """Add a user. Raises AttuneError if the name cannot be one, or is taken."""
        with self._lock, self._store.writing() as connection:
            self._check_name(name)
            if len(self._all) >= MOST_USERS:
                raise AttuneError(f"there are {MOST_USERS} users, the most that there can be")
            added = connection.execute(
                "INSERT INTO users (name, created_at) VALUES (?, ?)",
                (_plain(name), self._store.clocks.wall()),
            )
            self._all = self._read()
        return self._all[added.lastrowid or 0]

    def rename(self, user: int, name: str) -> User:
        """Give a user another name. Raises AttuneError as `add`."""
        with self._lock, self._store.writing() as connection:
            self._check_name(name, user)
            connection.execute("UPDATE users SET name = ? WHERE id = ?", (_plain(name), user))
            self._all = self._read()
        return self._all[user]

    def serve(self, user: int, *, kept: bool = True) -> None:
        """Note that `user` is served from now on; for no longer than this process runs, unless
        `kept`. Raises AttuneError if there is no such user."""
        with self._lock:
            if user not in self._all:
                raise AttuneError(f"there is no user {user}")
            if kept:
                with self._store.writing() as connection:
                    connection.execute("UPDATE served_user SET user = ?", (user,))
            self._served = user

    def read_again(self) -> None:
        """Know the users as they are in the store, after some were removed there."""
        with self._lock:
            self._all = self._read()
            if self._served not in self._all:
                self._served = FIRST_USER

    def _read(self) -> dict[int, User]:
        rows = self._store.rows("SELECT id, name, created_at FROM users ORDER BY id")
        return {row[0]: User(*row) for row in rows}

    def _check_name(self, name: str, own: int | None = None) -> None:
        plain = _plain(name)
        if not plain or len(plain) > MOST_NAME_CHARACTERS or not plain.isprintable():
            raise AttuneError(f"a name has 1 to {MOST_NAME_CHARACTERS} characters")
        if plain.casefold() == UNNAMED and own != FIRST_USER:
            raise AttuneError(f"{UNNAMED} is what a user without a name is called")
        for user in self.all:
            if user.id != own and is_called(user, name):
                raise AttuneError(f"there is a user {user.name} already")


def is_called(user: User, name: str) -> bool:
    """Whether this is the user's name, whatever its letters' size."""
    return user.name.casefold() == _plain(name).casefold()


def _plain(name: str) -> str:
    return " ".join(name.split())
