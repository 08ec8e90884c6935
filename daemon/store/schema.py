"""Opens the database and brings it to the newest form with numbered SQL files, each applied whole
or not at all."""

from pathlib import Path

from engines.errors import AttuneError

from .sqlite import sqlite3, unlock

MIGRATIONS = Path(__file__).parent / "migrations"
_INDEXES = (
    "CREATE INDEX IF NOT EXISTS labels_chosen ON labels (utterance, origin, id, confidence)",
)
"""Indexes that find labels without reading their texts. They are not part of the form: missing ones
are made."""


def migrate(
    path: Path, migrations: Path = MIGRATIONS, key: bytes | None = None
) -> sqlite3.Connection:
    """Bring the database at `path`, which `key` encrypts, to its newest form and return a
    connection to it. Raises AttuneError if it is newer than this program, and sqlite3.Error if it
    is damaged, or has another key."""
    steps = sorted(migrations.glob("[0-9][0-9][0-9][0-9]_*.sql"))
    connection = sqlite3.connect(path, check_same_thread=False, timeout=10)
    try:
        path.chmod(0o600)
        unlock(connection, key)
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA secure_delete = ON")  # what is deleted is gone from the file
        verdict = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if verdict != "ok":
            raise sqlite3.DatabaseError(" ".join(verdict.split()))
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        newest = int(steps[-1].name[:4])
        if version > newest:
            raise AttuneError(
                f"the database {path} has form {version}, this program knows {newest}; start a"
                " newer Attune"
            )
        for step in steps:
            number = int(step.name[:4])
            if number > version:
                _apply(connection, step.read_text(encoding="utf-8"), number)
        for index in _INDEXES:
            connection.execute(index)
        connection.commit()
    except BaseException:
        connection.close()
        raise
    return connection


def _apply(connection: sqlite3.Connection, script: str, number: int) -> None:
    try:
        connection.executescript(
            f"BEGIN IMMEDIATE;\n{script}\nPRAGMA user_version = {number};\nCOMMIT;"
        )
    except sqlite3.Error:
        if connection.in_transaction:
            connection.rollback()
        raise
