"""Holds the connections to the database file: one that writes, some that read. Reports every fault
in one line that says what to do.

A reader never waits for a writer, in this process or another. Knows no table.
"""

import errno
import os
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path

from engines.errors import AttuneError
from engines.files import sync_folder

from ..config.installation_key import PLAIN_DATABASE
from .schema import migrate
from .sqlite import copy_database, fitting_key, keys_of, sqlite3, unlock

_WRITE_WAIT_MS, _READ_WAIT_MS = 1000, 1000
"""Milliseconds to wait for another program's lock. Loops that give signs of life stand still
meanwhile."""
_SCRUB_TRIES = 10


class DatabaseBusyError(AttuneError):
    """Another program holds a lock on the database; the caller may try again later."""


class Database:
    """The database file, open. Safe to use from several threads."""

    def __init__(self, path: Path) -> None:
        """Open or create the database. Raises AttuneError if it is damaged, newer than this
        program, or out of reach."""
        self._path = path
        self._lock = threading.RLock()
        self._writer: int | None = None
        """The thread whose transaction is open; None if there is none."""
        self._readers: list[sqlite3.Connection] = []
        """Connections for reading that no thread is using."""
        self._readers_change = threading.Condition()
        self._reading = 0
        """Threads that read through a connection for reading."""
        self._closed = False
        with self.guarded():
            self._open()

    def _open(self) -> None:
        """Open the connection that writes."""
        self._key = fitting_key(self._path)
        self.connection = migrate(self._path, key=self._key)
        self.connection.execute(f"PRAGMA busy_timeout = {_WRITE_WAIT_MS}")

    def change_key(self) -> bool:
        """Encrypt the database with the key that it is to have by now. Nothing is read or written
        meanwhile. Returns whether it had another one. Raises DatabaseBusyError if another program
        uses it, and AttuneError as `guarded`."""
        with self.guarded(), self._lock:
            self._check_open()
            key = keys_of(self._path)[0]
            if key == self._key:
                return False
            with self._readers_change:
                self._readers_change.wait_for(lambda: not self._reading)
                while self._readers:
                    self._readers.pop().close()
                self.connection.close()
                try:
                    encrypt_database(self._path, self._key, key)
                finally:
                    self._open()
            return True

    def close(self) -> None:
        """Close every connection. One that a thread is reading with closes after that."""
        with self._lock:
            self._closed = True
            self.connection.close()
            while self._readers:
                self._readers.pop().close()

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Run the block in one transaction, kept whole or not at all. It is part of the transaction
        around it if this thread has one open already.

        Raises DatabaseBusyError if another program holds the lock, and AttuneError as `guarded`.
        """
        with self.guarded(), self._lock:
            if self._writer is not None:
                yield self.connection
                return
            self._check_open()
            with self.connection:
                self.connection.execute("BEGIN IMMEDIATE")
                self._writer = threading.get_ident()
                try:
                    yield self.connection
                finally:
                    self._writer = None

    def scrub(self) -> None:
        """Rewrite the file, so that nothing of what was deleted is left in it or in its write-ahead
        log. Raises DatabaseBusyError if another program reads meanwhile."""
        with self.guarded(), self._lock:
            self._check_open()
            self.connection.execute("PRAGMA temp_store = MEMORY")  # not in another file
            self.connection.execute("VACUUM")
            for _ in range(_SCRUB_TRIES):
                busy, *_ = self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
                if not busy:
                    return
        raise DatabaseBusyError(f"another program reads the database {self._path}")

    def rows(self, query: str, *values: object) -> list[tuple]:  # type: ignore[type-arg]
        """Return the rows that a query finds among what was committed and what this thread has
        written in its open transaction."""
        with self.guarded():
            if self._writer == threading.get_ident():
                return self.connection.execute(query, values).fetchall()
            with self._readers_change:
                reader = self._reader()
                self._reading += 1
            try:
                return reader.execute(query, values).fetchall()
            finally:
                with self._readers_change:
                    self._reading -= 1
                    self._readers_change.notify_all()
                    if self._closed:
                        reader.close()
                    else:
                        self._readers.append(reader)

    def _reader(self) -> sqlite3.Connection:
        self._check_open()
        if self._readers:
            return self._readers.pop()
        there = f"{self._path.absolute().as_uri()}?mode=rw"  # never a new file
        reader = sqlite3.connect(
            there, uri=True, check_same_thread=False, timeout=_READ_WAIT_MS / 1000
        )
        unlock(reader, self._key)
        return reader

    def _check_open(self) -> None:
        if self._closed:  # a client asks while the daemon is stopping
            raise AttuneError(
                "the daemon is stopping, and its store is closed; ask again once it runs"
            )

    def guarded(self) -> AbstractContextManager[None]:
        """Turn an error within into one for people; see `guarding`."""
        return self.guarding(self._path)

    @staticmethod
    @contextmanager
    def guarding(path: Path) -> Iterator[None]:
        """Turn an error of the disk or of the database at `path` into an AttuneError of one line
        that says what to do. A defect of this program is raised as it is."""
        try:
            yield
        except sqlite3.ProgrammingError:
            raise
        except sqlite3.DatabaseError as error:
            if isinstance(
                error, sqlite3.IntegrityError | sqlite3.InternalError | sqlite3.NotSupportedError
            ):
                raise  # a defect of this program
            raise told(error, path) from error
        except OSError as error:
            raise AttuneError(
                f"{error.filename or path} cannot be written: {error.strerror};"
                f" {_remedy(error.errno)}"
            ) from error


def is_plain(path: Path) -> bool:
    """Whether there is a database at `path` that is not encrypted. Raises OSError."""
    if not path.exists():
        return False
    with path.open("rb") as file:
        return file.read(len(PLAIN_DATABASE)) == PLAIN_DATABASE


def encrypt_database(path: Path, old: bytes | None, new: bytes | None) -> None:
    """Put a copy of the database at `path` in its place, encrypted with the key `new` instead of
    `old`; None stands for no encryption. A process killed at any instant leaves one or the other.

    No connection may be open. Raises sqlite3.Error, OSError, and DatabaseBusyError if another
    program uses it.
    """
    beside = path.with_name(f".{path.name}.rewritten")
    for left in (beside, beside.with_name(f"{beside.name}-journal")):
        left.unlink(missing_ok=True)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        unlock(connection, old)
        busy, *_ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if busy:
            raise DatabaseBusyError(f"another program uses the database {path}")
    try:
        copy_database(path, old, beside, new)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    if path.with_name(f"{path.name}-wal").exists():  # whoever closes it last removes it
        raise DatabaseBusyError(f"another program uses the database {path}")
    beside.chmod(0o600)
    with beside.open("rb") as file:
        os.fsync(file.fileno())
    beside.replace(path)
    sync_folder(path.parent)


def told(error: sqlite3.DatabaseError, path: Path) -> AttuneError:
    """Make an AttuneError of an SQLite error about the database at `path`, with the remedy for that
    kind of fault."""
    if "disk is full" in str(error):  # what exports a database gives no code
        return _full(path)
    # An error that `migrate` raises by itself has no code.
    match getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF:
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED | sqlite3.SQLITE_PROTOCOL:
            return DatabaseBusyError(
                f"another program holds a lock on the database {path}; end it (`fuser {path}`"
                " names it)"
            )
        case sqlite3.SQLITE_FULL:
            return _full(path)
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM | sqlite3.SQLITE_AUTH:
            return AttuneError(
                f"the database {path} may not be written ({error}); see to it that Attune's user"
                " owns it, and that its file system is not mounted read-only"
            )
        case sqlite3.SQLITE_CANTOPEN:
            return AttuneError(
                f"the database {path} cannot be opened ({error}); see to it that its folder is"
                " there and that Attune's user owns both, and free the disk if it is full"
            )
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            return AttuneError(
                f"the database {path} is damaged ({error}), or keys.json was replaced; put that"
                " back, or else move the database aside and start again: the audio beside it"
                " becomes utterances again"
            )
        case sqlite3.SQLITE_IOERR:
            return AttuneError(
                f"the disk that holds the database {path} fails ({error},"
                f" {error.sqlite_errorname}); see `dmesg`, repair the disk or put state_dir on"
                " another"
            )
        case sqlite3.SQLITE_NOMEM:
            return AttuneError(f"there is no memory left to read the database {path}; free some")
    return AttuneError(
        f"the database {path} cannot be used: {error}; it may not be Attune's: move it aside, or"
        " set another state_dir"
    )


def _full(path: Path) -> AttuneError:
    return AttuneError(f"the database {path} cannot be used: the disk is full; free some of it")


def _remedy(number: int | None) -> str:
    if number in (errno.ENOSPC, errno.EDQUOT):
        return "free some of its disk"
    if number in (errno.EACCES, errno.EPERM, errno.EROFS):
        return "see to it that Attune's user may write there"
    if number == errno.EIO:
        return "its disk fails: see `dmesg`, and repair it"
    return "set state_dir to a folder that can be written"
