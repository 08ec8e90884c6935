"""Connections to the store's database by other programs. They are of the same library as the
store's: locks of two copies of SQLite in one process do not see each other."""

import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from daemon.store.sqlite import keys_of, sqlite3, unlock


def connect(path: Path, *, read_only: bool = False, **more: Any) -> sqlite3.Connection:
    """A connection to the database at `path`, with the key that it has."""
    address = f"{path.absolute().as_uri()}?mode={'ro' if read_only else 'rwc'}"
    connection: sqlite3.Connection = sqlite3.connect(address, uri=True, **more)
    unlock(connection, keys_of(path)[0])
    return connection


def plain_content(path: Path) -> bytes:
    """All rows of the database at `path`, as they are in one that is not encrypted."""
    for attempt in range(20):
        try:
            return _exported(path)
        except sqlite3.OperationalError:  # its daemon rewrites it meanwhile
            if attempt == 19:
                raise
            time.sleep(0.1)
    raise AssertionError


def _exported(path: Path) -> bytes:
    with tempfile.TemporaryDirectory() as folder, closing(connect(path)) as connection:
        copy = Path(folder, "plain.db")
        connection.execute("ATTACH DATABASE ? AS plain KEY ''", (str(copy),))
        connection.execute("SELECT sqlcipher_export('plain')")
        connection.execute("DETACH DATABASE plain")
        return copy.read_bytes()
