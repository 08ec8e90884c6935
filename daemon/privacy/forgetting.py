"""Forgets: what was said goes with everything that was made of it, and what was learnt from it is
withdrawn. Killed at any instant, it is finished at the next start.

First one transaction removes the rows and notes what else has to go; then files and generations go,
the database is rewritten, and a receipt is signed. Each step may be done again.
"""

import json
import logging
import shutil
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from engines.errors import AttuneError
from engines.generations.folder import BASE, Generation, list_generations

from ..store.store import Store
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


@dataclass(frozen=True)
class Plan:
    """What is going to be forgotten."""

    found: Found
    generations: tuple[int, ...]
    """Those that would be withdrawn."""


class Forgetting:
    """What forgets in a running daemon. Safe to use from several threads: one waits for the
    other."""

    def __init__(
        self,
        store: Store,
        places: Places,
        receipts: Receipts,
        withdraw: Withdraw,
        stand_still: Callable[[], None],
        forgotten: Callable[[], None],
    ) -> None:
        """`withdraw` serves another generation at once. `stand_still` ends a round that runs, and
        returns once it has ended. `forgotten` is called once the rows are gone: nobody may
        remember them."""
        self._store = store
        self._places = places
        self._receipts = receipts
        self._withdraw = withdraw
        self._stand_still = stand_still
        self._forgotten = forgotten
        self._lock = threading.Lock()

    def plan(self, scope: Scope) -> Plan:
        """Return what `forget` would forget. Raises AttuneError if `scope` names something that is
        not there."""
        found = find(self._store, scope)
        return Plan(found, learnt_from(self._places.generations, found))

    def forget(self, scope: Scope) -> Receipt | None:
        """Forget what lies in `scope`, and return the receipt; None if there is nothing. Raises
        AttuneError if `scope` names something that is not there, or if not everything could be
        removed: that is tried again at the next start."""
        with self._lock:
            self._stand_still()
            plan = self.plan(scope)
            if plan.found.empty:
                return None
            begin(self._store, plan)
            self._forgotten()
            return finish(self._store, self._places, self._receipts, self._withdraw)[-1]


class Withdraws(Protocol):
    """The part of what moves pointers that forgetting needs."""

    def withdraw(self, numbers: Collection[int], why: str) -> int | None: ...


def withdrawing(moves: Withdraws) -> Withdraw:
    """Withdraw by `moves` alone, where nothing is served yet."""
    return lambda numbers: moves.withdraw(numbers, WHY)


def learnt_from(generations: Path, found: Found) -> tuple[int, ...]:
    """The generations that had learnt from what was found, or of which nobody knows that they had
    not. The base had not."""
    if found.kind != "everything" and not found.utterances:
        return ()
    ids = set(found.utterances)

    def clean(card_ids: tuple[str, ...] | None) -> bool:
        return card_ids is not None and found.kind != "everything" and not ids & set(card_ids)

    return tuple(
        one.number
        for one in list_generations(generations)
        if one.number != BASE and not (isinstance(one, Generation) and clean(one.card.learnt_from))
    )


def begin(store: Store, plan: Plan) -> None:
    """Remove the rows, and note what else has to go, in one transaction."""
    found = plan.found
    with store.writing() as connection:
        connection.execute(
            "INSERT INTO forgettings (at, what, utterances, seconds, turns, generations, others)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                store.clocks.wall(),
                found.kind,
                json.dumps(found.utterances),
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
            ("rounds", "generation", plan.generations),
        ):
            connection.execute(
                f"DELETE FROM {table} WHERE {key} IN (SELECT value FROM json_each(?))",  # noqa: S608
                (json.dumps(values),),
            )
        if found.kind == "everything":
            for table in ("notices", "missed_alarms"):
                connection.execute(f"DELETE FROM {table}")  # noqa: S608
        # The number of a label that is gone may be given again, to one that nobody has learnt.
        connection.execute(
            "UPDATE rounds SET labels = min(labels, (SELECT coalesce(max(id), 0) FROM labels))"
        )


def finish(store: Store, places: Places, receipts: Receipts, withdraw: Withdraw) -> list[Receipt]:
    """Remove whatever else is left of what is being forgotten, and return the receipts. Raises
    AttuneError if something cannot be removed; it may be called again."""
    done = []
    for row in store.rows(
        "SELECT id, at, what, utterances, seconds, turns, generations, others FROM forgettings"
        " ORDER BY id"
    ):
        number, at, what, utterances, seconds, turns, generations, others = row
        ids, gone = set(json.loads(utterances)), tuple(json.loads(generations))
        try:
            serves = withdraw(gone)
            _clear_jobs(places.jobs, ids, gone)
            clear_features(places.features, ids)
            everything = what == "everything"
            names = _names(store.audio_folder) if everything else [f"{one}.flac" for one in ids]
            for name in names:
                (store.audio_folder / name).unlink(missing_ok=True)
            store.scrub()
        except OSError as error:
            raise AttuneError(
                f"{error.filename} cannot be removed ({error.strerror}); it is tried again at the"
                " next start"
            ) from error
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
        with store.writing() as connection:
            connection.execute("DELETE FROM forgettings WHERE id = ?", (number,))
        logger.info("forgot %d utterances and %d turns", len(ids), turns)
        done.append(receipt)
    if done:
        store.scrub()  # of the ids that were to be forgotten, too
    return done


def _names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def _clear_jobs(jobs: Path, ids: Collection[str], gone: Collection[int]) -> None:
    """Remove the folders of rounds that learn from `ids`, or start from a generation that is
    gone."""
    for folder in jobs.glob("[0-9][0-9][0-9][0-9]"):
        try:
            job = json.loads((folder / "job.json").read_bytes())
            named = {example["id"] for example in job["examples"]}
            clean = not named & set(ids) and job["parent"] not in gone
        except (OSError, ValueError, TypeError, KeyError):
            clean = False
        if not clean:
            with suppress(FileNotFoundError):  # first, so that no round goes on from the rest
                (folder / "job.json").unlink()
            shutil.rmtree(folder)


def clear_features(features: Path, ids: Collection[str]) -> None:
    """Remove what was computed of the utterances `ids`. What a teacher said to texts is named by
    the texts' hashes, so all of it goes: it can be computed again."""
    if not ids:
        return
    for path in _files(features):
        if path.name.lstrip(".").partition(".")[0] in ids:
            path.unlink(missing_ok=True)
    shutil.rmtree(features / "lessons", ignore_errors=True)


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.glob("*") if path.is_file()) if folder.is_dir() else iter(())
