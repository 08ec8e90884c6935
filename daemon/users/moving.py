"""Gives recordings to another user: two users become one, or one becomes two. Knows no model."""

from collections.abc import Callable, Sequence

import numpy as np

from engines.errors import AttuneError
from engines.types import Float32
from engines.voiceprint.cohort import of_length_1
from engines.voiceprint.profile import LEAST_ENROLLED

from ..store.records import Spoken
from ..store.store import Store
from .users import User, Users

_MOST_ROUNDS = 20


def assign(store: Store, utterances: Sequence[str], user: int | None) -> int:
    """Note that a person said that `utterances` are the voice of `user`, or of nobody who uses
    Attune. Returns how many. Raises AttuneError if one is not there."""
    known = store.users_of(utterances)
    for name in utterances:
        if name not in known:
            raise AttuneError(f"there is no recording {name}; `attune data list` shows them")
    store.set_users([Spoken(name, user, "hand", 1.0) for name in known])
    return len(known)


def merge(store: Store, users: Users, gone: User, into: User) -> int:
    """Give all recordings and turns of the user `gone` to the user `into`, and remove `gone`, who
    is neither the first user nor served. Returns how many recordings. Raises AttuneError if they
    are one."""
    if gone.id == into.id:
        raise AttuneError(f"{gone.name} is one user already")
    with store.writing() as connection:
        count = connection.execute(
            "UPDATE utterances SET user = ? WHERE user = ?", (into.id, gone.id)
        ).rowcount
        for table in ("utterances", "turns"):
            connection.execute(
                f"UPDATE {table} SET served = ? WHERE served = ?",  # noqa: S608
                (into.id, gone.id),
            )
        connection.execute("DELETE FROM users WHERE id = ?", (gone.id,))
    users.read_again()
    return count


def split(store: Store, user: User, examples: Sequence[str], new: Callable[[], int]) -> int:
    """Give those of the user's enrolled recordings to another user that sound rather like
    `examples` than like the others. `new` returns the other's id. Returns how many. Raises
    AttuneError, and changes nothing, if an example is not one of the user's, or nothing would be
    left to the user."""
    rows = store.rows(
        "SELECT u.id, v.print FROM utterances u LEFT JOIN voiceprints v ON v.utterance = u.id AND"
        " v.noise = 'none' WHERE u.user = ? AND u.user_by IN ('enrolled', 'hand')",
        user.id,
    )
    names = [name for name, _ in rows]
    for name in examples:
        if name not in names:
            raise AttuneError(f"{name} is no recording that {user.name} enrolled")
    moved = set(examples)
    prints = {name: np.frombuffer(blob, "<f4").astype(np.float32) for name, blob in rows if blob}
    moved |= _like(prints, moved & prints.keys())
    if len(names) - len(moved) < LEAST_ENROLLED:
        raise AttuneError(
            f"fewer than {LEAST_ENROLLED} recordings would be left to {user.name}: they sound alike"
        )
    return assign(store, sorted(moved), new())


def _like(prints: dict[str, Float32], examples: set[str]) -> set[str]:
    """The recordings that are nearer to the mean of `examples` than to that of all others, found
    anew until nothing changes (2-means). The examples are among them."""
    found = set(examples)
    for _ in range(_MOST_ROUNDS):
        others = prints.keys() - found
        if not found or not others:
            return found
        one, other = (
            of_length_1(np.mean([prints[name] for name in sorted(some)], axis=0))
            for some in (found, others)
        )
        nearer = examples | {
            name for name, print_ in prints.items() if one @ print_ > other @ print_
        }
        if nearer == found:
            return found
        found = nearer
    return found
