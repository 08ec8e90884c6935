"""Holds back writes, in their order, while another program holds the database. Knows no table."""

import logging
import threading
from collections import deque
from collections.abc import Callable
from typing import TypeVar

from engines.errors import AttuneError

from .database import DatabaseBusyError

logger = logging.getLogger(__name__)

MOST_WAITING = 100
_EVERY_SECONDS = 0.5
_T = TypeVar("_T")


class LaterWrites:
    """Does a write at once, or later in a thread. Safe to use from several threads."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[Callable[[], object], str]] = deque()
        self._lock = threading.Lock()
        """Held while a write is tried, so that no write overtakes another."""
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None

    def do(self, write: Callable[[], _T], what: str) -> _T | None:
        """Do `write` and return its result. Returns None if the write was put off, because another
        program holds the database or another write waits.

        `what` names the write for the user. Raises AttuneError as `write` does, and
        DatabaseBusyError if too many writes wait.
        """
        with self._lock:
            if not self._waiting:
                try:
                    return write()
                except DatabaseBusyError as busy:
                    logger.warning("%s; %s is kept once it is free", busy, what)
            if len(self._waiting) >= MOST_WAITING:
                raise DatabaseBusyError(
                    f"the database was held for so long that {MOST_WAITING} writes wait; {what} is"
                    " not kept"
                )
            self._waiting.append((write, what))
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="later-writes", daemon=True)
                self._thread.start()
            return None

    def problems(self) -> list[str]:
        """Say that writes wait, for the user; empty if none does."""
        count = len(self._waiting)
        waiting = "1 write waits" if count == 1 else f"{count} writes wait"
        return [f"another program holds the database: {waiting} until it is free"] if count else []

    def close(self) -> None:
        """Try the waiting writes once more. Those that fail are lost, which the log says."""
        self._closing.set()
        if (thread := self._thread) is not None:
            thread.join()
        while self._try_first():
            pass
        for _, what in self._waiting:
            logger.error(
                "%s is lost: another program held the database until the daemon stopped", what
            )
        self._waiting.clear()

    def _run(self) -> None:
        while not self._closing.wait(_EVERY_SECONDS):
            while not self._closing.is_set() and self._try_first():
                pass
            with self._lock:
                if not self._waiting:
                    self._thread = None
                    return

    def _try_first(self) -> bool:
        """Try the first waiting write. Returns whether it was written or given up."""
        with self._lock:
            if not self._waiting:
                return False
            write, what = self._waiting[0]
            try:
                write()
            except DatabaseBusyError:
                return False
            except AttuneError as error:
                logger.error("%s is lost: %s", what, error)
            else:
                logger.info("%s is kept now", what)
            self._waiting.popleft()
            return True
