"""How a job's process comes to be; here, as a child of this one.

Knows no training; `daemon/jobs/child.py` follows the process, whichever it is.
"""

import errno
import logging
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Literal, Protocol

logger = logging.getLogger(__name__)

Change = Literal["stopped", "ended"]
SIGTERM_EXIT = 128 + signal.SIGTERM
"""How a process leaves that was asked to save a checkpoint and go."""
_POLL_SECONDS = 0.001


class Output(Protocol):
    """A stream of lines, to be read by one thread."""

    def readline(self, limit: int, /) -> bytes:
        """The next line, or as much of it as fits; nothing at the end."""

    def close(self) -> None:
        """Read no more."""


class Process(Protocol):
    """A job's process, running."""

    pid: int

    @property
    def output(self) -> Output:
        """What it prints."""

    def signal(self, number: signal.Signals) -> bool:
        """Reach it, and what it started; False where nobody is left."""

    def wait_for_change(self) -> Change:
        """Wait until all its threads have stopped, or it has ended: then it still has its number,
        until `reap`."""

    def reap(self) -> int:
        """The exit status, negative for a signal, of one that has ended and whose output was
        read."""


class Launch(Protocol):
    """Starts the process of the job in `job`, which writes complaints to `log`."""

    def __call__(
        self,
        command: Sequence[str],
        job: Path,
        environment: Mapping[str, str],
        log: Path,
        given_up: Callable[[], bool],
    ) -> Process:
        """Raises OSError or AttuneError where it cannot be started, or `given_up` said so while it
        was waited for."""


def as_child(
    command: Sequence[str],
    job: Path,
    environment: Mapping[str, str],
    log: Path,
    given_up: Callable[[], bool],
) -> "ChildProcess":
    """Run `command` with the job's path as its last argument; that takes no waiting."""
    if shutil.which(command[0]) is None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), command[0])
    leashed = leash(signal.SIGKILL)
    with log.open("ab") as complaints:
        process = subprocess.Popen(
            [*leashed, *command, str(job)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=complaints,
            env=dict(environment),
            start_new_session=True,
        )
    while leashed and process.poll() is None and _runs(process.pid, leashed[0]):
        time.sleep(_POLL_SECONDS)
    return ChildProcess(process)


@cache
def leash(number: signal.Signals) -> tuple[str, ...]:
    """The words to put before a command, so that the command gets signal `number` when the thread
    that starts it ends; none where the machine lacks `setpriv`.

    A job's child sees to that itself (`settle_as_child`), but one that is stopped before it gets
    there would outlive the daemon.
    """
    found = shutil.which("setpriv")
    words = (found or "setpriv", "--pdeathsig", number.name.removeprefix("SIG"), "--")
    if found and subprocess.run([*words, "true"], capture_output=True, check=False).returncode == 0:
        return words
    logger.warning(
        "setpriv (of util-linux) cannot be run: a child that is stopped as it starts may outlive a"
        " daemon that is killed"
    )
    return ()


def _runs(process: int, program: str) -> bool:
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes().split(b"\0")[0] in (
            program.encode(),
            b"",
        )
    except OSError:
        return False


class ChildProcess:
    """A Process that this one is the parent of."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        assert process.stdout is not None
        self._process = process
        self.pid = process.pid
        self.output = process.stdout

    def signal(self, number: signal.Signals) -> bool:
        """As in Process."""
        if self._process.returncode is not None:
            return False
        try:
            os.killpg(self.pid, number)
        except ProcessLookupError:
            return False
        return True

    def wait_for_change(self) -> Change:
        """As in Process."""
        with suppress(ChildProcessError):
            # Leaves the reaping to `reap`.
            seen = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WSTOPPED | os.WNOWAIT)
            if seen is not None and seen.si_code == os.CLD_STOPPED:
                # Takes this notice away, or the next wait finds it again.
                os.waitid(os.P_PID, self.pid, os.WSTOPPED | os.WNOHANG)
                return "stopped"
        return "ended"

    def reap(self) -> int:
        """As in Process."""
        return self._process.wait()
