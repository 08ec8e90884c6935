"""Starts the process of a job: the protocol of a launch, and the launch of a child of this process.

Knows no training; `daemon/jobs/child.py` follows the process.
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
from typing import Any, Literal, Protocol

from engines.encryption.from_parent import VARIABLE, keys_for

logger = logging.getLogger(__name__)

Change = Literal["stopped", "ended"]
SIGTERM_EXIT = 128 + signal.SIGTERM
"""Exit status of a process that was asked to save a checkpoint and end."""
_POLL_SECONDS = 0.001


class Output(Protocol):
    """A stream of lines that one thread reads."""

    def readline(self, limit: int, /) -> bytes:
        """Return the next line, or its first `limit` bytes; b"" at the end of the stream."""

    def close(self) -> None:
        """Stop reading."""


class Process(Protocol):
    """The running process of a job."""

    pid: int

    @property
    def output(self) -> Output:
        """The standard output of the process."""

    def signal(self, number: signal.Signals) -> bool:
        """Send a signal to the process and to those that it started. Returns False if none is
        left."""

    def wait_for_change(self) -> Change:
        """Wait until all threads of the process have stopped, or it has ended. It keeps its number
        until `reap`."""

    def reap(self) -> int:
        """Return the exit status, negative for a signal. The process must have ended, and its
        output must have been read."""


class Launch(Protocol):
    """Starts the process of the job in the file `job`; its standard error goes to `log`."""

    def __call__(
        self,
        command: Sequence[str],
        job: Path,
        environment: Mapping[str, str],
        log: Path,
        given_up: Callable[[], bool],
    ) -> Process:
        """Start the process. Raises OSError or AttuneError if it cannot be started, or if
        `given_up` returns True before it has started."""


def as_child(
    command: Sequence[str],
    job: Path,
    environment: Mapping[str, str],
    log: Path,
    given_up: Callable[[], bool],
) -> "ChildProcess":
    """Run `command` as a child, with the job's path as its last argument. `given_up` is not asked:
    a child starts at once."""
    if shutil.which(command[0]) is None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), command[0])
    with keys_for(job) as keys, log.open("ab") as complaints:
        process = start_on_leash(
            [*command, str(job)],
            signal.SIGKILL,
            stdin=subprocess.DEVNULL if keys is None else keys,
            stdout=subprocess.PIPE,
            stderr=complaints,
            env={**environment, **({} if keys is None else {VARIABLE: "1"})},
            start_new_session=True,
        )
    return ChildProcess(process)


def start_on_leash(
    command: Sequence[str], number: signal.Signals, **options: Any
) -> "subprocess.Popen[bytes]":
    """Start `command` with the `options` of Popen. The command gets signal `number` when the thread
    that starts it ends, from the moment that this returns."""
    leashed = _leash(number)
    process = subprocess.Popen([*leashed, *command], **options)
    while leashed and process.poll() is None and _runs(process.pid, leashed[0]):
        time.sleep(_POLL_SECONDS)
    return process


@cache
def _leash(number: signal.Signals) -> tuple[str, ...]:
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
    """A Process that is a child of this one."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        assert process.stdout is not None
        self._process = process
        self.pid = process.pid
        self.output = process.stdout

    def signal(self, number: signal.Signals) -> bool:
        """Send a signal to the child's process group; see `Process`."""
        if self._process.returncode is not None:
            return False
        try:
            os.killpg(self.pid, number)
        except ProcessLookupError:
            return False
        return True

    def wait_for_change(self) -> Change:
        """Wait until the child has stopped or ended; see `Process`."""
        with suppress(ChildProcessError):
            # WNOWAIT leaves the reaping to `reap`.
            seen = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WSTOPPED | os.WNOWAIT)
            if seen is not None and seen.si_code == os.CLD_STOPPED:
                # Consumes this notice, or the next wait would find it again.
                os.waitid(os.P_PID, self.pid, os.WSTOPPED | os.WNOHANG)
                return "stopped"
        return "ended"

    def reap(self) -> int:
        """Return the exit status of the ended child; see `Process`."""
        return self._process.wait()
