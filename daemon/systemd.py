"""What passes between this process and a service manager (systemd): readiness, its state, signs of
life, a listening socket.

The protocol is sd_notify(3) and sd_listen_fds(3), a datagram and three variables. Where nobody
started this process that way, nothing is told. Knows no daemon.
"""

import contextlib
import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Mapping

logger = logging.getLogger(__name__)

_FIRST_GIVEN = 3
"""File descriptor of the first socket that is handed over."""
_PINGS_PER_LIMIT = 3
_PRIORITIES = (
    (logging.CRITICAL, 2),
    (logging.ERROR, 3),
    (logging.WARNING, 4),
    (logging.INFO, 6),
    (0, 7),
)
"""The least level of each priority that the journal knows."""


class ServiceManager:
    """Where to tell, and how often it wants a sign of life."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        self._address = environment.get("NOTIFY_SOCKET", "")
        self.watchdog_seconds: float | None = None
        """It ends this process after so long without a sign of life; None where it does not
        watch."""
        if (environment.get("WATCHDOG_PID") or str(os.getpid())) == str(os.getpid()):
            with contextlib.suppress(KeyError, ValueError):
                self.watchdog_seconds = int(environment["WATCHDOG_USEC"]) / 1e6

    def ready(self) -> None:
        """Requests are answered now, for the first time or again."""
        self._tell("READY=1")

    def reloading(self) -> None:
        """The settings are read anew; `ready` follows."""
        self._tell(
            f"RELOADING=1\nMONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}"
        )

    def stopping(self) -> None:
        self._tell("STOPPING=1")

    def state(self, line: str) -> None:
        """What is going on, for `systemctl status`."""
        self._tell(f"STATUS={' '.join(line.split())}")

    def alive(self) -> None:
        """A sign of life."""
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
    """Tells that the daemon lives each time that every loop which must not freeze has gone round:
    no thread pings by itself."""

    def __init__(self, limit_seconds: float | None, tell: Callable[[], None]) -> None:
        """`tell` is called some times within `limit_seconds`; never where that is None."""
        self._every_seconds = None if limit_seconds is None else limit_seconds / _PINGS_PER_LIMIT
        self._tell = tell
        self._lock = threading.Lock()
        self._loops: set[str] = set()
        self._seen: set[str] = set()
        self._told_at = float("-inf")

    def watch(self, loop: str) -> Callable[[], None]:
        """From now on `loop` is one of those; what is returned is to be called whenever it goes
        round."""
        with self._lock:
            self._loops.add(loop)
        return lambda: self._went_round(loop)

    def leave(self, loop: str) -> None:
        """`loop` has ended, and not by freezing."""
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


class JournalFormatter(logging.Formatter):
    """Lines as the journal takes them: the level in front, as sd-daemon(3) has it, and no time,
    which it adds itself."""

    def __init__(self) -> None:
        super().__init__("%(name)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        """Every line with its level: a traceback has many."""
        level = next(number for least, number in _PRIORITIES if record.levelno >= least)
        return "\n".join(f"<{level}>{line}" for line in super().format(record).splitlines())


def writes_to_journal(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether what this process writes to standard error goes to the journal."""
    try:
        about = os.fstat(2)
    except OSError:
        return False
    return environment.get("JOURNAL_STREAM") == f"{about.st_dev}:{about.st_ino}"


def given_socket(environment: Mapping[str, str] = os.environ) -> socket.socket | None:
    """The listening socket that was opened for this process, if one was. Raises ValueError where it
    was given several."""
    if environment.get("LISTEN_PID") != str(os.getpid()):
        return None
    count = int(environment.get("LISTEN_FDS") or 0)
    if count > 1:
        raise ValueError(f"{count} sockets were handed over; one is listened on")
    if count == 0:
        return None
    os.set_inheritable(_FIRST_GIVEN, False)
    return socket.socket(fileno=_FIRST_GIVEN)
