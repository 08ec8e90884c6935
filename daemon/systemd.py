"""Talks to a service manager (systemd): tells it readiness, state and signs of life, and takes a
listening socket from it.

The protocol is sd_notify(3) and sd_listen_fds(3), a datagram and three variables. A process that no
service manager started tells nothing. Knows no daemon.
"""

import contextlib
import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Mapping

from .discreet_log import DiscreetFormatter

logger = logging.getLogger(__name__)

_FIRST_GIVEN = 3
"""File descriptor of the first socket that systemd hands over."""
_PINGS_PER_LIMIT = 3
_PRIORITIES = (
    (logging.CRITICAL, 2),
    (logging.ERROR, 3),
    (logging.WARNING, 4),
    (logging.INFO, 6),
    (0, 7),
)
"""Lowest logging level of each priority of the journal, and the number of that priority."""


class ServiceManager:
    """The address of the service manager, and how often it wants a sign of life."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        self._address = environment.get("NOTIFY_SOCKET", "")
        self.watchdog_seconds: float | None = None
        """Seconds without a sign of life after which the manager ends this process; None if it does
        not watch."""
        if (environment.get("WATCHDOG_PID") or str(os.getpid())) == str(os.getpid()):
            with contextlib.suppress(KeyError, ValueError):
                self.watchdog_seconds = int(environment["WATCHDOG_USEC"]) / 1e6

    def ready(self) -> None:
        """Tell that requests are answered now, for the first time or again."""
        self._tell("READY=1")

    def reloading(self) -> None:
        """Tell that the settings are being reloaded; `ready` follows."""
        self._tell(
            f"RELOADING=1\nMONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}"
        )

    def stopping(self) -> None:
        self._tell("STOPPING=1")

    def state(self, line: str) -> None:
        """Tell what the daemon is doing, for `systemctl status`."""
        self._tell(f"STATUS={' '.join(line.split())}")

    def alive(self) -> None:
        """Give a sign of life."""
        self._tell("WATCHDOG=1")

    def _tell(self, message: str) -> None:
        if not self._address:
            return
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as end:
                end.settimeout(1.0)
                end.sendto(message.encode(), address)
        except OSError as error:
            logger.warning(
                "the service manager cannot be told %s: %s", message.partition("=")[0], error
            )


class Watchdog:
    """Gives a sign of life each time that every watched loop has gone round. No thread gives one by
    itself, so a frozen loop is noticed."""

    def __init__(self, limit_seconds: float | None, tell: Callable[[], None]) -> None:
        """Call `tell` at most a few times within `limit_seconds`, or never if that is None."""
        self._every_seconds = None if limit_seconds is None else limit_seconds / _PINGS_PER_LIMIT
        self._tell = tell
        self._lock = threading.Lock()
        self._loops: set[str] = set()
        self._seen: set[str] = set()
        self._told_at = float("-inf")

    def watch(self, loop: str) -> Callable[[], None]:
        """Watch `loop` from now on. Returns the function that the loop must call each time it goes
        round."""
        with self._lock:
            self._loops.add(loop)
        return lambda: self._went_round(loop)

    def leave(self, loop: str) -> None:
        """Stop watching `loop`, which has ended by itself."""
        with self._lock:
            self._loops.discard(loop)

    def _went_round(self, loop: str) -> None:
        if self._every_seconds is None:
            return
        with self._lock:
            self._seen.add(loop)
            now = time.monotonic()
            if not self._loops <= self._seen or now - self._told_at < self._every_seconds:
                return
            self._seen.clear()
            self._told_at = now
        self._tell()


class JournalFormatter(DiscreetFormatter):
    """Formats lines for the journal: with the level in front, as in sd-daemon(3), and without the
    time, which the journal adds."""

    def __init__(self) -> None:
        super().__init__("%(name)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        """Put the level in front of every line of `record`: a traceback has many."""
        level = next(number for least, number in _PRIORITIES if record.levelno >= least)
        return "\n".join(f"<{level}>{line}" for line in super().format(record).splitlines())


def writes_to_journal(environment: Mapping[str, str] = os.environ) -> bool:
    """Return whether the journal receives what this process writes to standard error."""
    try:
        about = os.fstat(2)
    except OSError:
        return False
    return environment.get("JOURNAL_STREAM") == f"{about.st_dev}:{about.st_ino}"


def given_socket(environment: Mapping[str, str] = os.environ) -> socket.socket | None:
    """Return the listening socket that systemd opened for this process, or None. Raises ValueError
    if it opened several."""
    if environment.get("LISTEN_PID") != str(os.getpid()):
        return None
    count = int(environment.get("LISTEN_FDS") or 0)
    if count > 1:
        raise ValueError(f"{count} sockets were handed over; the daemon takes one")
    if count == 0:
        return None
    os.set_inheritable(_FIRST_GIVEN, False)
    return socket.socket(fileno=_FIRST_GIVEN)
