"""The control socket: JSON lines over a private UNIX socket.

One request object a line; each is answered by event objects, the last of which holds `"done": true`
or `"error"`: no other may. A file is never named for the daemon to open: it comes as an open
descriptor with the line of its request. Knows no command.
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
"""A connection that asks nothing, or does not read its answer, for so long is closed."""

Message = dict[str, Any]
"""A JSON object, as it comes and goes on the socket."""

Handler = Callable[[Message, Client], Generator[Message, None, None]]
"""Answers the request of a client with messages; closed early when the client leaves, which it can
ask to be told of while it computes. AttuneError becomes the last event.

The descriptors that came with a request are in it as `descriptors`, where there are any; they are
closed when it is answered.
"""


class ControlServer:
    """Answers with `handle` whoever connects to a listening socket, each connection in a thread of
    its own."""

    def __init__(
        self, listener: socket.socket, handle: Handler, idle_seconds: float = _IDLE_SECONDS
    ) -> None:
        """Starts at once. `listener` stays the caller's: whoever connects to it later waits for the
        next server."""
        listener.setblocking(False)
        self._listener = listener
        self._handle = handle
        self._idle_seconds = idle_seconds
        self._places = threading.BoundedSemaphore(_MAX_CONNECTIONS)
        self._refusals = threading.BoundedSemaphore(_MAX_REFUSALS)
        self._hang_ups = HangUps()
        self._connections: set[socket.socket] = set()
        self._unheard: set[socket.socket] = set()
        """Those that were accepted, and are still to get the first event of an answer."""
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self.take_again()

    def take_again(self) -> None:
        """Take connections, at first and again after `turn_away`."""
        self._closing.clear()
        self._wake, self._woken = socket.socketpair()
        self._thread = threading.Thread(target=self._accept, name="control", daemon=True)
        self._thread.start()

    def turn_away(self) -> None:
        """Take no more connections, and no further request from those there are; what is being
        answered goes on.

        Who was accepted and is about to ask is waited for.
        """
        if not self._closing.is_set():
            self._closing.set()
            self._wake.close()
            self._thread.join()
            _wait_while(lambda: bool(self._unheard), _FIRST_WORD_SECONDS)

    def close(self) -> None:
        """Stop answering; what is nearly said is said, and who computes an answer is told that
        nobody waits for it."""
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
                except BlockingIOError:  # it is gone already
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
        """Say why in a thread of its own, for a while: a flood of connections must not keep the
        next client waiting."""
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
        """Answer one request; False where the connection is past understanding."""
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
                            "the open files of a request did not all come over;"
                            f" {MAX_DESCRIPTORS} may"
                        )
                    }
                )
            )
            return True
        request.pop("descriptors", None)  # only the connection says which there are
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
            yield _problem(f"the daemon failed at this: {error!r}; its log says more")


def _wait_while(holds: Callable[[], bool], seconds: float) -> None:
    until = time.monotonic() + seconds
    while holds() and time.monotonic() < until:
        time.sleep(_POLL_SECONDS)


def _problem(what: str) -> Message:
    """In one line that fits a terminal, whatever a client called things."""
    line = " ".join(what.splitlines())
    return {
        "error": (
            line if len(line) <= _MAX_PROBLEM_CHARACTERS else f"{line[:_MAX_PROBLEM_CHARACTERS]}…"
        )
    }


def _line(message: Message) -> bytes:
    return json.dumps(message, ensure_ascii=False).encode(errors="replace") + b"\n"
