"""Runs a daemon as a child process with a state of its own, for the demo and for benchmarks. Knows
the control socket, no models."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from engines.errors import AttuneError
from engines.jobs.programs import COMMAND_LINE, program

from ..control.requests import GetStatus, SetConsent
from ..events.privacy import Consented
from ..events.service import Status
from ..jobs.launch import start_on_leash
from .socket_client import ask_for

_START_SECONDS = 120.0
_STOP_SECONDS = 30.0


@contextmanager
def private_daemon(
    environment: Mapping[str, str], log: Path, *, keeps: bool = True
) -> Iterator[Status]:
    """Run `attune serve` with the settings in `environment` (keys without `ATTUNE__`; no other
    setting of this process's environment reaches it) and its log in `log`. Yields its first status,
    and stops the daemon when the block, or the calling thread, ends. It `keeps` what is said to it,
    and learns from it, as if its user had agreed.

    `CONTROL__SOCKET` must be among the settings. Raises AttuneError with the last line of the log
    if the daemon does not start.
    """
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("ATTUNE__")}
    given = {f"ATTUNE__{key}": value for key, value in environment.items()}
    with log.open("wb") as lines:
        process = start_on_leash(
            program(COMMAND_LINE, "serve"),
            signal.SIGTERM,
            env=inherited | given,
            stdin=subprocess.DEVNULL,
            stdout=lines,
            stderr=lines,
        )
    control = Path(environment["CONTROL__SOCKET"])
    try:
        found = _first_status(control, process, log)
        if keeps:
            ask_for(Consented, control, SetConsent(agreed=True))
        yield found
    finally:
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _first_status(socket: Path, process: "subprocess.Popen[bytes]", log: Path) -> Status:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            return ask_for(Status, socket, GetStatus(), quiet_seconds=_START_SECONDS)
        except AttuneError:  # the daemon does not listen yet, or is just ending
            time.sleep(0.2)
    last = (log.read_text(errors="replace").strip().splitlines() or ["its log is empty"])[-1]
    raise AttuneError(f"the daemon did not start: {last}")
