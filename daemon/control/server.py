"""The control socket: JSON lines over a private UNIX socket.

Each line is one request object, and is answered by event objects. The last of them holds
`"done": true` or `"error"`, and no other does. The daemon opens no file that a client names: a file
comes as an open descriptor with the line of its request. Knows no command.
"""

import contextlib
import json
import logging
import select
import socket
import threading
import time
from collections.abc import Callable, Generator
from typing import Any

from engines.errors import AttuneError

from ..clients import Client, HangUps
from .incoming import MAX_DESCRIPTORS, Incoming

logger = logging.getLogger(__name__)

MAX_LINE_BYTES = 1 << 20
_MAX_CONNECTIONS = 16
_MAX_REFUSALS = 16
_REFUSAL_SECONDS = 0.2
_FIRST_WORD_SECONDS, _LAST_WORD_SECONDS, _LEAVING_SECONDS = 1.0, 0.3, 1.0
_POLL_SECONDS = 0.01
_MAX_PROBLEM_CHARACTERS = 1000
_IDLE_SECONDS = 60.0
"""Seconds after which a connection is closed that sends no request or does not read its answer."""

Message = dict[str, Any]
"""A JSON object as it is sent through the socket."""

Handler = Callable[[Message, Client], Generator[Message, None, None]]
"""Answers the request of a client with messages. It is closed early when the client leaves; the
`Client` can tell it of that while it computes. An AttuneError becomes the last message.

The descriptors that came with a request are in it as `descriptors`, if there are any; they are
closed once it is answered.
"""


class ControlServer:
    """Answers the clients that connect to a listening socket with `handle`, each connection in a
    thread of its own."""

    def __init__(
        self, listener: socket.socket, handle: Handler, idle_seconds: float = _IDLE_SECONDS
    ) -> None:
        """Start at once. `listener` stays the caller's: a client that connects to it later waits
        for the next server."""
        listener.setblocking(False)
        self._listener = listener
        self._handle = handle
        self._idle_seconds = idle_seconds
        self._places = threading.BoundedSemaphore(_MAX_CONNECTIONS)
        self._refusals = threading.BoundedSemaphore(_MAX_REFUSALS)
        self._hang_ups = HangUps()
        self._connections: set[socket.socket] = set()
        self._unheard: set[socket.socket] = set()
        """Connections that were accepted and have not received the first event of an answer."""
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self.take_again()

    def take_again(self) -> None:
        """Accept connections, at the start and again after `turn_away`."""
        self._closing.clear()
        self._wake, self._woken = socket.socketpair()
        self._thread = threading.Thread(target=self._accept, name="control", daemon=True)
        self._thread.start()

    def turn_away(self) -> None:
        """Accept no more connections, and no more requests from the open ones. Answers that have
        begun go on.

        Waits for a moment for the first request of connections that were accepted just before.
        """
        if not self._closing.is_set():
            self._closing.set()
            self._wake.close()
            self._thread.join()
            _wait_while(lambda: bool(self._unheard), _FIRST_WORD_SECONDS)

    def close(self) -> None:
        """Stop answering. Answers that are nearly complete are sent; handlers that still compute
        one are told that the client has left."""
        self.turn_away()
        self._end(socket.SHUT_RD)
        _wait_while(lambda: bool(self._connections), _LAST_WORD_SECONDS)
        self._end(socket.SHUT_RDWR)  # which counts as a hang-up
        _wait_while(lambda: bool(self._connections), _LEAVING_SECONDS)
        self._hang_ups.close()

    def _end(self, ways: int) -> None:
        with self._lock:
            for connection in self._connections:
                with contextlib.suppress(OSError):
                    connection.shutdown(ways)

    def _accept(self) -> None:
        with self._woken:
            while not self._closing.is_set():
                select.select([self._listener, self._woken], [], [])
                if self._closing.is_set():
                    return
                try:
                    connection, _ = self._listener.accept()
                except BlockingIOError:  # the client is gone already
                    continue
                except OSError as error:
                    logger.error("the control socket failed: %s", error)
                    return
                self._take(connection)

    def _take(self, connection: socket.socket) -> None:
        connection.settimeout(self._idle_seconds)
        if not self._places.acquire(blocking=False):
            self._turn_down(connection)
            return
        with self._lock:
            self._connections.add(connection)
            self._unheard.add(connection)
        threading.Thread(
            target=self._serve, args=(connection,), name="control-client", daemon=True
        ).start()

    def _turn_down(self, connection: socket.socket) -> None:
        """Refuse a connection with the reason, in a thread of its own and for a short time: a flood
        of connections must not keep the next client waiting."""
        if not self._refusals.acquire(blocking=False):
            connection.close()
            return

        def refuse() -> None:
            with connection, contextlib.suppress(OSError):
                connection.settimeout(_REFUSAL_SECONDS)
                # A client that is still sending would see a broken pipe, not the reason.
                connection.recv(MAX_LINE_BYTES)
                connection.sendall(
                    _line({"error": "the daemon has too many connections; try again"})
                )
            self._refusals.release()

        threading.Thread(target=refuse, name="control-refusal", daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        incoming = Incoming(connection)
        try:
            with connection:
                while (line := incoming.readline(MAX_LINE_BYTES + 1)) and self._answer(
                    connection, line, incoming
                ):
                    incoming.release()
                    if self._closing.is_set():
                        return
        except OSError as error:  # the client left, or was silent for too long
            logger.debug("a control connection ended: %s", error)
        finally:
            incoming.release()
            with self._lock:
                self._connections.discard(connection)
                self._unheard.discard(connection)
            self._places.release()

    def _answer(self, connection: socket.socket, line: bytes, incoming: Incoming) -> bool:
        """Answer one request. Returns False if the connection must be closed: the line is too long,
        or the client has left."""
        if len(line) > MAX_LINE_BYTES:
            connection.sendall(_line({"error": f"a request is longer than {MAX_LINE_BYTES} bytes"}))
            return False
        try:
            request = json.loads(line)
            if not isinstance(request, dict):
                raise ValueError("it is not an object")
        except (ValueError, RecursionError) as error:
            connection.sendall(
                _line(_problem(f"a request is not one JSON object on one line: {error}"))
            )
            return True
        if incoming.lost:
            connection.sendall(
                _line(
                    {
                        "error": (
                            "some open files of a request were lost; a request may bring"
                            f" {MAX_DESCRIPTORS}"
                        )
                    }
                )
            )
            return True
        request.pop("descriptors", None)  # only the connection tells which descriptors came
        if incoming.descriptors:
            request["descriptors"] = incoming.descriptors
        with (
            self._hang_ups.watching(connection) as client,
            contextlib.closing(self._outcome(request, client)) as events,
        ):
            for event in events:
                if client.left:
                    return False
                connection.sendall(_line(event))
                self._unheard.discard(connection)
        return True

    def _outcome(self, request: Message, client: Client) -> Generator[Message, None, None]:
        try:
            yield from self._handle(request, client)
            yield {"done": True}
        except AttuneError as error:
            yield _problem(str(error))
        except Exception as error:
            # A defect in one command must not take the daemon away from its other users.
            logger.exception("the command %.100r failed", request.get("command"))
            yield _problem(f"the daemon failed at this command: {error!r}; its log says more")


def _wait_while(holds: Callable[[], bool], seconds: float) -> None:
    until = time.monotonic() + seconds
    while holds() and time.monotonic() < until:
        time.sleep(_POLL_SECONDS)


def _problem(what: str) -> Message:
    """Make an error message of one line that fits a terminal, however long the names in it are."""
    line = " ".join(what.splitlines())
    return {
        "error": (
            line if len(line) <= _MAX_PROBLEM_CHARACTERS else f"{line[:_MAX_PROBLEM_CHARACTERS]}…"
        )
    }


def _line(message: Message) -> bytes:
    return json.dumps(message, ensure_ascii=False).encode(errors="replace") + b"\n"
