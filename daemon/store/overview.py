"""What a store holds and since when, read without changing it, also while a daemon runs."""

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from .database import told
from .sqlite import fitting_key, sqlite3, unlock

_COUNTED = {
    "recordings": "utterances",
    "texts of turns": "turns",
    "labels": "labels",
    "voiceprints": "voiceprints",
    "phrases of the vocabulary": "phrases",
    "timers, alarms and reminders": "alarms",
    "things on lists": "list_items",
    "receipts that are not finished": "forgettings",
}
_TIMES = {"utterances": "created_at", "turns": "created_at", "phrases": "added_at"}


@dataclass(frozen=True)
class Held:
    """One kind of thing."""

    what: str
    count: int
    since: float | None
    """When the oldest came, in seconds since the epoch; None if that is not known."""


def overview(database: Path) -> list[Held]:
    """Return how many of each kind `database` holds; kinds of which it holds none are left out.
    Raises AttuneError if it cannot be read."""
    if not database.exists():
        return []
    there = f"{database.absolute().as_uri()}?mode=ro"
    try:
        with closing(sqlite3.connect(there, uri=True, timeout=5)) as connection:
            unlock(connection, fitting_key(database))
            found = []
            for what, table in _COUNTED.items():
                at = _TIMES.get(table, "NULL")
                row = connection.execute(f"SELECT count(*), min({at}) FROM {table}")  # noqa: S608
                count, since = row.fetchone()
                if count:
                    found.append(Held(what, count, since))
            return found
    except sqlite3.DatabaseError as error:
        raise told(error, database) from error
