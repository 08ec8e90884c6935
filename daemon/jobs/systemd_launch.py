"""Starts the process of a job under systemd: hands the job over to a unit, which starts the
process."""

import os
import select
import signal
import socket
import struct
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from engines.encryption.from_parent import VARIABLE, keys_for
from engines.errors import AttuneError
from engines.files import write_atomically
from engines.jobs.child_process import PARENT_VARIABLE
from engines.jobs.handoff import REQUEST_NAME, STATUS, HandedOver
from engines.jobs.programs import TAKE_HANDOFF

from .launch import Change, Launch, Process

_TAKEN_SECONDS = 180.0
_POLL_SECONDS = 0.001
_ACCEPT_SECONDS = 0.2
_TAKER = TAKE_HANDOFF.encode()
"""Word in the command line of the process that takes a job, until it has taken it."""


def handing_over(folder: Path, taken_seconds: float = _TAKEN_SECONDS) -> Launch:
    """Return a launch that puts the job into `folder`, where a unit waits for it. The unit's
    process then connects to a socket there.

    After `taken_seconds` the launch waits only for a process that has started and is slow, as on a
    busy machine.
    """

    def launch(
        command: Sequence[str],
        job: Path,
        environment: Mapping[str, str],
        log: Path,
        given_up: Callable[[], bool],
    ) -> Process:
        request, address = folder / REQUEST_NAME, folder / "adapt.sock"
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener, keys_for(job) as keys:
            address.unlink(missing_ok=True)
            listener.bind(str(address))
            address.chmod(0o600)
            listener.listen(1)
            listener.settimeout(min(taken_seconds, _ACCEPT_SECONDS))
            # This process is not the parent of the unit's process.
            passed = {name: value for name, value in environment.items() if name != PARENT_VARIABLE}
            if keys is not None:
                passed[VARIABLE] = "1"
            asked = HandedOver(job=job, log=log, socket=address, environment=passed)
            write_atomically(request, asked.model_dump_json().encode())
            try:
                connection = _await_taker(listener, folder, taken_seconds, given_up)
                if keys is not None:
                    socket.send_fds(connection, [b"k"], [keys])
            finally:
                request.unlink(missing_ok=True)
                address.unlink(missing_ok=True)
        return UnitProcess(connection)

    return launch


def _await_taker(
    listener: socket.socket, folder: Path, taken_seconds: float, given_up: Callable[[], bool]
) -> socket.socket:
    """Wait for the process that takes the job, and return its connection. Raises AttuneError if
    none does in time, or if `given_up` returns True."""
    until = time.monotonic() + taken_seconds
    while True:
        with suppress(TimeoutError):
            return listener.accept()[0]
        if given_up():
            raise AttuneError("no process had taken the job when it was given up")
        if time.monotonic() >= until and not _is_being_taken(folder):
            raise AttuneError(
                f"no process took the job within {taken_seconds:.0f} s; see `systemctl status"
                " attune-adapt.path attune-adapt`"
            )


def _is_being_taken(folder: Path) -> bool:
    """Return whether a process is running that is to take the job in `folder` and has not yet."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            words = path.read_bytes().split(b"\0")
            if _TAKER in words and os.fsencode(folder) in words:
                return True
    return False


class UnitProcess:
    """A Process that a service manager started, at the other end of `connection`."""

    def __init__(self, connection: socket.socket) -> None:
        """Find the process at the other end of `connection`. Raises AttuneError if it has ended
        already."""
        connection.setblocking(True)
        self.pid, _, _ = struct.unpack(
            "3i",
            connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")),
        )
        try:
            self._handle = os.pidfd_open(self.pid)
        except ProcessLookupError:
            raise AttuneError(
                "the process that took the job ended at once; `journalctl -u attune-adapt` says why"
            ) from None
        self._connection = connection  # the process goes on while this is open
        self.output = _Said(connection)
        self._stopping = threading.Event()
        self._wake, self._woken = os.pipe()
        self._reaped = False

    def signal(self, number: signal.Signals) -> bool:
        """Send a signal to the process; see `Process`. The service manager ends those that it has
        started."""
        if self._reaped:
            return False
        try:
            signal.pidfd_send_signal(self._handle, number)
        except ProcessLookupError:
            return False
        if number == signal.SIGSTOP:
            self._stopping.set()
            os.write(self._woken, b"!")
        elif number == signal.SIGCONT:
            self._stopping.clear()
        return True

    def wait_for_change(self) -> Change:
        """Wait until the process has stopped or ended; see `Process`. The kernel reports a stop
        only to the parent, so the states of the threads are polled."""
        while True:
            ready, _, _ = select.select([self._handle, self._wake], [], [])
            if self._handle in ready:
                return "ended"
            os.read(self._wake, 1)
            while self._stopping.is_set():
                if all(state in "TtXZ" for state in _states(self.pid)):
                    self._stopping.clear()
                    return "stopped"
                time.sleep(_POLL_SECONDS)

    def reap(self) -> int:
        """Return the exit status; see `Process`. A process that did not send one counts as
        killed."""
        if not self._reaped:
            self._reaped = True
            self._connection.close()
            for end in (self._handle, self._wake, self._woken):
                os.close(end)
        return -signal.SIGKILL if self.output.status is None else self.output.status


class _Said:
    """The lines of a process that took a job; the last one is its exit status."""

    def __init__(self, connection: socket.socket) -> None:
        self.status: int | None = None
        self._lines = connection.makefile("rb")

    def readline(self, limit: int, /) -> bytes:
        """Return the next line, and note the exit status; see `Output`."""
        line = self._lines.readline(limit)
        if line.startswith(STATUS):
            self.status = int(line.removeprefix(STATUS).rstrip(b"}\n"))
        return line

    def close(self) -> None:
        """Stop reading; see `Output`."""
        self._lines.close()


def _states(process: int) -> list[str]:
    """Return the state of each thread, a letter as in proc(5)."""
    found = []
    for thread in Path(f"/proc/{process}/task").glob("*/stat"):
        with suppress(OSError):
            found.append(thread.read_text().rpartition(")")[2].split()[0])
    return found
