"""The other end of the control socket: what the command line uses to reach the daemon."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from engines.errors import AttuneError

from .control import MAX_LINE_BYTES
from .events import Event


class NoDaemonError(AttuneError):
    """Nobody listens at the control socket."""


def request(path: Path, command: Event, quiet_seconds: float | None = 300.0) -> Iterator[Event]:
    """Send `command` to the daemon at `path` and yield its events, all but the closing one.

    Closing the iterator hangs up, which ends the command. Raises AttuneError where no daemon answers, where it says that the
    command failed, or where it says nothing for `quiet_seconds`.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        try:
            connection.settimeout(quiet_seconds)
            connection.connect(str(path))
            connection.sendall(json.dumps(command).encode() + b"\n")
        except OSError as error:
            raise NoDaemonError(f"no Attune daemon answers at {path}; start it with `attune serve`") from error
        with connection.makefile("rb") as lines:
            while True:
                event = _next_event(lines, path)
                if "error" in event:
                    raise AttuneError(str(event["error"]))
                if event.get("done"):
                    return
                yield event


def _next_event(lines: BinaryIO, path: Path) -> Event:
    try:
        line = lines.readline(MAX_LINE_BYTES + 1)
    except TimeoutError as error:
        raise AttuneError(f"the daemon at {path} stopped answering; `attune status` shows whether it is alive") from error
    except OSError as error:
        raise AttuneError(f"the connection to the daemon at {path} broke: {error}") from error
    try:
        event = json.loads(line)
    except ValueError as error:  # nothing, or half a line
        raise AttuneError(f"the daemon at {path} ended before it had answered; its log says why") from error
    if not isinstance(event, dict):
        raise AttuneError(f"what answers at {path} is no Attune daemon")
    return event
