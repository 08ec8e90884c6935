"""Forgets: what was said goes with everything that was made of it, and what was learnt from it is
withdrawn. Killed at any instant, it is finished at the next start.

First one transaction removes the rows and notes what else has to go; then files and generations go,
the database is rewritten, and a receipt is signed. Each step may be done again.
"""

import json
import logging
import shutil
import threading
from collections.abc import Callable, Collection, Iterator, Sequence, Set
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from engines.encryption.files import UnreadableError, read_file
from engines.errors import AttuneError
from engines.generations.card import Card
from engines.generations.folder import BASE, Damaged, list_generations, sweep

from ..discreet_log import discreet
from ..store.database import DatabaseBusyError
from ..store.records import FIRST_USER
from ..store.sqlite import sqlite3
from ..store.store import Store
from ..users.users import UNNAMED
from .receipts import Receipt, Receipts, utc
from .scope import Found, Scope, find

logger = logging.getLogger(__name__)

WHY = "what it had learnt from was forgotten"
Withdraw = Callable[[Collection[int]], int | None]
"""Withdraws generations, and returns the number of the one that serves then."""


@dataclass(frozen=True)
class Places:
    """The folders in which there may be something of what was said, besides the store's own."""

    generations: Path
    jobs: Path
    features: Path
    own_phrase: Path
    """The file of the user's own wake word."""
    backup: Path
    """The folder of the copy that was made before everything was encrypted."""
    users: Path
    """The folder of users' pointers, each in one that is named by the user's number."""


@dataclass(frozen=True)
class Plan:
    """What is going to be forgotten."""

    found: Found
    generations: tuple[int, ...]
    """Those that would be withdrawn."""


class NotAllGoneError(AttuneError):
    """The rows are gone, and something else could not be removed yet."""


class Forgetting:
    """What forgets in a running daemon. Safe to use from several threads: one waits for the
    other. A thread that holds the models must use `forget_soon`."""

    def __init__(
        self,
        store: Store,
        places: Places,
        receipts: Receipts,
        withdraw: Withdraw,
        no_round: Callable[[], AbstractContextManager[None]],
        forgotten: Callable[[], None],
    ) -> None:
        """`withdraw` serves another generation at once. As long as `no_round` lasts, no round runs
        or begins; entering it ends one that does. `forgotten` is called once the rows are gone:
        nobody may remember them."""
        self._store = store
        self._places = places
        self._receipts = receipts
        self._withdraw = withdraw
        self._no_round = no_round
        self._forgotten = forgotten
        self._lock = threading.Lock()
        self.problem = ""
        """What could not be forgotten yet, for the user; empty if nothing is left."""

    def plan(self, scope: Scope) -> Plan:
        """Return what `forget` would forget. Raises AttuneError if `scope` names something that is
        not there."""
        return self._plan(find(self._store, scope))

    def forget(self, scope: Scope) -> Receipt | None:
        """Forget what lies in `scope`, and return the receipt; None if there is nothing. Raises
        AttuneError if `scope` names something that is not there, or a round does not end, and
        NotAllGoneError if not everything could be removed: that is tried again by itself."""
        with self._lock, self._no_round():
            return self._forget(find(self._store, scope))

    def forget_soon(self, scope: Scope) -> None:
        """Forget what lies in `scope`: its rows are gone when this returns, and the rest goes in
        another thread, or at the next start. `problem` tells what could not be removed. Raises
        AttuneError if `scope` names something that is not there, or the store cannot be written."""
        found = find(self._store, scope)
        if found.empty:
            return
        self._begin(found)
        threading.Thread(target=self._finish_or_tell, name="forgetting", daemon=True).start()

    def finish_left(self) -> int:
        """Finish what could not be finished before; returns how many there were. Raises AttuneError
        as `forget`."""
        if not self._store.rows("SELECT 1 FROM forgettings LIMIT 1"):
            return 0
        with self._lock, self._no_round():
            return len(self._finish())

    def _plan(self, found: Found) -> Plan:
        return Plan(found, learnt_from(self._store, self._places.generations, found))

    def _forget(self, found: Found) -> Receipt | None:
        left = self._finish()
        if found.empty:
            return left[-1] if left else None
        self._begin(found)
        return self._finish()[-1]

    def _begin(self, found: Found) -> None:
        begin(self._store, self._plan(found))
        self._forgotten()

    def _finish_or_tell(self) -> None:
        try:
            self.finish_left()
        except AttuneError as error:
            logger.error("not everything was forgotten: %s", error)
            self.problem = f"not everything was forgotten: {error}"
        except Exception as error:  # a defect, which the user has to know of all the same
            logger.exception("not everything was forgotten")
            self.problem = f"not everything was forgotten: {discreet(error)}; see the daemon's log"

    def _finish(self) -> list[Receipt]:
        try:
            done = finish(self._store, self._places, self._receipts, self._withdraw)
        except AttuneError as error:
            self.problem = str(error)
            raise
        self.problem = ""
        return done


class Withdraws(Protocol):
    """The part of what moves pointers that forgetting needs."""

    def withdraw(self, numbers: Collection[int], why: str) -> int | None: ...


def withdrawing(moves: Withdraws) -> Withdraw:
    """Withdraw by `moves` alone, where nothing is served yet."""
    return lambda numbers: moves.withdraw(numbers, WHY)


def learnt_from(store: Store, generations: Path, found: Found) -> tuple[int, ...]:
    """The generations that had learnt from what was found, that show its words, or of which nobody
    knows that they had not learnt from it. The base had not."""
    numbers = []
    for one in list_generations(generations):
        if one.number == BASE:
            continue
        if found.kind == "everything" or isinstance(one, Damaged) or _knows(store, one.card, found):
            numbers.append(one.number)
    return tuple(numbers)


def _knows(store: Store, card: Card, found: Found) -> bool:
    if found.kind in ("user", "other voices"):  # what others said alike is theirs
        if card.user == found.user:
            return True
    elif any(found.shows(request) for request in card.requests):
        return True
    if not found.utterances:
        return False
    if card.learnt_from is not None:
        return not set(card.learnt_from).isdisjoint(found.utterances)
    # Of an earlier release. Its round noted the latest label that there was; without a label nobody
    # learns.
    rounds = store.rows("SELECT max(labels) FROM rounds WHERE generation = ?", card.number)
    [(first,)] = store.rows(
        "SELECT min(id) FROM labels WHERE utterance IN (SELECT value FROM json_each(?))",
        json.dumps(found.utterances),
    )
    return first is not None and (rounds[0][0] is None or first <= rounds[0][0])


def _trained_on(generations: Path, utterances: Sequence[str]) -> list[int]:
    """The generations whose cards name one of `utterances`."""
    return [
        one.number
        for one in list_generations(generations)
        if not isinstance(one, Damaged) and set(utterances) & set(one.card.learnt_from or ())
    ]


def begin(store: Store, plan: Plan) -> None:
    """Remove the rows, and note what else has to go, in one transaction. What is being stored now
    is not kept any more, since it may belong to it."""
    found = plan.found
    store.forgettings += 1
    files = [f"{one}.flac" for one in found.utterances]
    if found.kind == "everything":
        files = [path.name for path in store.audio_folder.iterdir()]
    with store.writing() as connection:
        connection.execute(
            "INSERT INTO forgettings (at, what, utterances, files, seconds, turns, generations,"
            " others) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                store.clocks.wall(),
                found.kind,
                json.dumps(found.utterances),
                json.dumps(files),
                found.seconds,
                len(found.turns),
                json.dumps(plan.generations),
                found.others,
            ),
        )
        for table, key, values in (
            ("turns", "id", found.turns),
            ("utterances", "id", found.utterances),
            ("phrases", "text", found.phrases),
            ("alarms", "id", found.alarms),
            ("list_items", "id", found.items),
            ("missed_alarms", "id", found.missed),
        ):
            connection.execute(
                f"DELETE FROM {table} WHERE {key} IN (SELECT value FROM json_each(?))",  # noqa: S608
                (json.dumps(values),),
            )
        if found.kind == "everything":
            connection.execute("DELETE FROM notices")
        if found.user is not None or found.kind == "everything":
            _remove_user(connection, found.user)
        # The number of a label that is gone may be given again, to one that nobody has learnt.
        connection.execute(
            "UPDATE rounds SET labels = min(labels, (SELECT coalesce(max(id), 0) FROM labels))"
        )


def _remove_user(connection: sqlite3.Connection, user: int | None) -> None:
    """Remove a user, or all of them for None; of the first the name goes."""
    gone = "(?1 IS NULL OR id = ?1)"
    connection.execute(f"DELETE FROM users WHERE id != {FIRST_USER} AND {gone}", (user,))  # noqa: S608
    connection.execute(
        f"UPDATE users SET name = ?2 WHERE id = {FIRST_USER} AND {gone}",  # noqa: S608
        (user, UNNAMED),
    )
    for table, column in (("served_user", "user"), ("utterances", "served"), ("turns", "served")):
        connection.execute(
            f"UPDATE {table} SET {column} = {FIRST_USER}"  # noqa: S608
            f" WHERE {column} NOT IN (SELECT id FROM users)"
        )


def finish(store: Store, places: Places, receipts: Receipts, withdraw: Withdraw) -> list[Receipt]:
    """Remove whatever else is left of what is being forgotten, and return the receipts. It may be
    called again. Raises AttuneError if a generation cannot be withdrawn, and NotAllGoneError if
    anything else cannot be removed."""
    rows = store.rows(
        "SELECT id, at, what, utterances, files, seconds, turns, generations, others"
        " FROM forgettings ORDER BY id"
    )
    done = []
    for number, at, what, utterances, files, seconds, turns, generations, others in rows:
        ids = json.loads(utterances)
        # A round may have ended since it was begun.
        gone = tuple(sorted({*json.loads(generations), *_trained_on(places.generations, ids)}))
        try:
            serves = withdraw(gone)
        except OSError as error:
            raise AttuneError(f"{error.filename} cannot be removed: {error.strerror}") from error
        try:
            _clear(store, places, ids, json.loads(files), gone, everything=what == "everything")
            receipt = receipts.write(
                Receipt(
                    number=number,
                    asked_at=utc(at),
                    done_at=utc(store.clocks.wall()),
                    what=what,
                    utterances=len(ids),
                    seconds=round(seconds, 2),
                    turns=turns,
                    others=others,
                    withdrawn=gone,
                    serves=serves,
                )
            )
        except (AttuneError, OSError) as error:
            told = f"{error.filename}: {error.strerror}" if isinstance(error, OSError) else error
            raise NotAllGoneError(
                f"it is forgotten, but not all of it could be removed from the disk yet ({told});"
                " that is tried again within the hour, and at the next start"
            ) from error
        with store.writing() as connection:
            connection.execute(
                "DELETE FROM rounds WHERE generation IN (SELECT value FROM json_each(?))",
                (json.dumps(gone),),
            )
            connection.execute("DELETE FROM forgettings WHERE id = ?", (number,))
        logger.info("forgot %d utterances and %d turns", len(ids), turns)
        done.append(receipt)
    if done:
        with suppress(DatabaseBusyError):  # of the ids that were to be forgotten, too
            store.scrub()
    return done


def _clear(
    store: Store,
    places: Places,
    ids: Sequence[str],
    files: Sequence[str],
    gone: Collection[int],
    *,
    everything: bool,
) -> None:
    """Remove files, and whatever of it is left in the database's. What was stored anew since stays,
    also if it is the same."""
    sweep(places.generations)
    kept = store.drop_audio(files)
    old = {one for one in ids if f"{one}.flac" not in kept}
    _clear_jobs(places.jobs, old, gone)
    clear_features(places.features, old)
    lessons = places.features / "lessons"
    if lessons.exists():
        shutil.rmtree(lessons)  # named by texts' hashes; they can be computed again
    if places.backup.is_dir():
        shutil.rmtree(places.backup)  # a copy of all that was stored, from before
    _clear_users(store, places.users)
    if everything:
        places.own_phrase.unlink(missing_ok=True)
    store.scrub()


def _clear_jobs(jobs: Path, ids: Set[str], gone: Collection[int]) -> None:
    """Remove the folders of rounds that learn from `ids`, or start from a generation that is
    gone."""
    for folder in jobs.glob("[0-9][0-9][0-9][0-9]"):
        try:
            job = json.loads(read_file(folder / "job.json"))
            named = {example["id"] for example in job["examples"]}
            clean = not named & ids and job["parent"] not in gone
        except (OSError, UnreadableError, ValueError, TypeError, KeyError):
            clean = False
        if not clean:
            with suppress(FileNotFoundError):  # first, so that no round goes on from the rest
                (folder / "job.json").unlink()
            shutil.rmtree(folder)


def _clear_users(store: Store, users: Path) -> None:
    """Remove the pointers of users who are gone."""
    there = {str(user) for (user,) in store.rows("SELECT id FROM users")}
    for folder in users.glob("[0-9]*"):
        if folder.name not in there:
            shutil.rmtree(folder)


def clear_features(features: Path, ids: Set[str]) -> None:
    """Remove what was computed of the utterances `ids`."""
    if not ids:
        return
    for path in _files(features):
        if path.name.lstrip(".").partition(".")[0] in ids:
            path.unlink(missing_ok=True)


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.glob("*") if path.is_file()) if folder.is_dir() else iter(())
