"""The client's end of the control socket, by which the command line reaches the daemon."""

import json
import socket
from collections.abc import Generator, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import BinaryIO, TypeVar

from engines.errors import AttuneError
from engines.open_file import open_file

from ..control.requests import Request
from ..control.server import MAX_LINE_BYTES, Message
from ..events.event import Event
from ..events.reading import read_event

Kind = TypeVar("Kind", bound=Event)


class NoDaemonError(AttuneError):
    """No daemon listens at the control socket."""


def ask(
    path: Path,
    command: Request,
    quiet_seconds: float | None = 300.0,
    *,
    recording: Path | None = None,
    descriptors: Sequence[int] = (),
) -> Generator[Event, None, None]:
    """Send `command` to the daemon at `path` and yield the events that answer it.

    A `recording` is opened in this process and handed over: the daemon opens no file that a client
    names. The other parameters and the errors are those of `request`.
    """
    message: Message = command.model_dump(mode="json", exclude={"descriptors"}, exclude_none=True)
    if recording is not None:
        message["audio"] = recording
    with closing(request(path, message, quiet_seconds, descriptors)) as messages:
        for answer in messages:
            yield read_event(answer)


def ask_for(
    kind: type[Kind], path: Path, command: Request, quiet_seconds: float | None = 300.0
) -> Kind:
    """Send `command` and return the one event that answers it. Raises AttuneError as `ask` does,
    and if the answer is not of type `kind`."""
    answers = list(ask(path, command, quiet_seconds))
    if len(answers) != 1 or not isinstance(answers[0], kind):
        raise AttuneError(f"the daemon at {path} gave an unexpected answer; restart it")
    return answers[0]


def request(
    path: Path,
    command: Message,
    quiet_seconds: float | None = 300.0,
    descriptors: Sequence[int] = (),
) -> Generator[Message, None, None]:
    """Send `command` to the daemon at `path` and yield its messages, all but the closing one.

    A Path under `audio` is opened in this process and handed over: the daemon opens no file that a
    client names. `descriptors` are handed over likewise; they stay the caller's, and may be closed
    after the first event. Closing the iterator hangs up, which ends the command. Raises AttuneError
    if no daemon answers, if the command fails, if the daemon sends nothing for `quiet_seconds`, or
    if the file cannot be opened.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        try:
            connection.settimeout(quiet_seconds)
            connection.connect(str(path))
        except OSError as error:
            raise NoDaemonError(
                f"no Attune daemon answers at {path}; start it with `attune serve`"
            ) from error
        audio = command.get("audio")
        if isinstance(audio, Path):
            with open_file(audio) as file:
                _send(connection, {**command, "audio": file.name}, [*descriptors, file.fileno()])
        else:
            _send(connection, command, descriptors)
        with connection.makefile("rb") as lines:
            while True:
                message = _next_message(lines, path)
                if "error" in message:
                    raise AttuneError(str(message["error"]))
                if message.get("done"):
                    return
                yield message


def readable(text: str) -> str:
    """Replace what cannot be sent in a text: the halves of surrogate pairs, which stand for bytes
    that are not UTF-8."""
    return text.encode(errors="surrogatepass").decode(errors="replace")


def _send(connection: socket.socket, command: Message, descriptors: Sequence[int]) -> None:
    line = readable(json.dumps(command, ensure_ascii=False)).encode() + b"\n"
    if len(line) > MAX_LINE_BYTES:
        raise AttuneError(f"the request is longer than {MAX_LINE_BYTES} bytes; send less at a time")
    # If the daemon has closed the connection already, its answer says why.
    with suppress(BrokenPipeError, ConnectionResetError):
        sent = socket.send_fds(connection, [line], descriptors) if descriptors else 0
        connection.sendall(line[sent:])


def _next_message(lines: BinaryIO, path: Path) -> Message:
    try:
        line = lines.readline(MAX_LINE_BYTES + 1)
    except TimeoutError as error:
        raise AttuneError(
            f"the daemon at {path} stopped answering; `attune status` shows whether it is alive"
        ) from error
    except OSError as error:
        raise AttuneError(f"the connection to the daemon at {path} broke: {error}") from error
    try:
        message = json.loads(line)
    except ValueError as error:  # the answer was nothing, or half a line
        raise AttuneError(
            f"the daemon at {path} ended before it had answered; its log says why"
        ) from error
    if not isinstance(message, dict):
        raise AttuneError(
            f"the program that answers at {path} is not an Attune daemon; set control.socket to the"
            " daemon's path"
        )
    return message
