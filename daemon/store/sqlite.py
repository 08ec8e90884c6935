"""SQLite with encryption (SQLCipher), by the interface of the standard library's `sqlite3`: without
a key it reads and writes plain databases."""

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3
else:
    from sqlcipher3 import dbapi2 as sqlite3

from engines.encryption.folders import ring_of
from engines.encryption.keys import DataKey

__all__ = ["copy_database", "database_key", "fitting_key", "keys_of", "sqlite3", "unlock"]


def unlock(connection: sqlite3.Connection, key: bytes | None) -> None:
    """Have `connection` read and write with `key` (32 bytes), before anything else is done with it;
    with None the database is plain."""
    if key is not None:
        # SQLCipher would tell of a wrong key on standard error, beside the error that it raises.
        connection.execute("PRAGMA cipher_log_level = NONE")
        connection.execute(f"PRAGMA key = {_literal(key)}")


def _literal(key: bytes | None) -> str:
    """The key as SQL, used as it is: no password that a key is derived from."""
    if key is None:
        return "''"
    return f"\"x'{key.hex()}'\""


def database_key(key: DataKey) -> bytes:
    """The key of the database that belongs to a data key."""
    return key.derived("attune database")


def copy_database(path: Path, old: bytes | None, copy: Path, new: bytes | None) -> None:
    """Write a copy of the database at `path`, which `old` encrypts, as it is now to the new file
    `copy`, encrypted with `new`. Others may read and write meanwhile. Raises sqlite3.Error."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        unlock(connection, old)
        connection.execute("PRAGMA temp_store = MEMORY")
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        connection.execute(f"ATTACH DATABASE ? AS copy KEY {_literal(new)}", (str(copy),))
        connection.execute("SELECT sqlcipher_export('copy')")
        connection.execute(f"PRAGMA copy.user_version = {version}")
        connection.execute("DETACH DATABASE copy")


def keys_of(path: Path) -> list[bytes | None]:
    """The keys that the database at `path` may have, the one for new ones first; None stands for no
    encryption. Raises AttuneError if they cannot be opened."""
    ring = ring_of(path)
    return [None] if ring is None else [database_key(key) for key in ring.all]


def fitting_key(path: Path) -> bytes | None:
    """The key that the database at `path` has; the one for new ones if there is none yet, or if
    none fits. While keys are changed it may have an older one. Raises as `keys_of`, and
    sqlite3.Error if it cannot be read."""
    keys = keys_of(path)
    if len(keys) == 1 or not path.exists():
        return keys[0]
    for key in keys:
        with closing(sqlite3.connect(path)) as connection:
            unlock(connection, key)
            try:
                connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
            except sqlite3.DatabaseError as error:
                if getattr(error, "sqlite_errorcode", 0) != sqlite3.SQLITE_NOTADB:
                    raise
                continue
            return key
    return keys[0]
