"""Tells whether a client of the control socket still waits for its answer. Knows no request and no
answer."""

import contextlib
import select
import socket
import threading
from collections.abc import Callable, Iterator


class Client:
    """A client that waits for an answer, until it has left. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._left = False
        self._told: list[Callable[[], None]] = []

    @property
    def left(self) -> bool:
        return self._left

    @contextlib.contextmanager
    def telling(self, left: Callable[[], None]) -> Iterator[None]:
        """Call `left` if the client leaves before the block ends, or at once if it has left
        already. `left` must take no time: the thread that notices calls it, to wake the thread that
        computes the answer."""
        with self._lock:
            gone = self._left
            self._told.append(left)
        if gone:
            left()
        try:
            yield
        finally:
            with self._lock:
                self._told.remove(left)

    def leave(self) -> None:
        """Note that the client has left. Further calls do nothing."""
        with self._lock:
            told = [] if self._left else list(self._told)
            self._left = True
        for tell in told:
            tell()


class HangUps:
    """A thread that notices at once when a client hangs up, even while nothing is written to it.

    A client that has only shut down its own writing still reads, and has not left.
    """

    def __init__(self) -> None:
        self._poll = select.epoll()
        self._clients: dict[int, Client] = {}
        self._lock = threading.Lock()
        self._wake, self._woken = socket.socketpair()
        self._poll.register(self._woken, select.EPOLLIN)
        self._thread = threading.Thread(target=self._run, name="hang-ups", daemon=True)
        self._thread.start()

    @contextlib.contextmanager
    def watching(self, connection: socket.socket) -> Iterator[Client]:
        """Watch the client at the other end of `connection` until the block ends: it counts as left
        as soon as it hangs up."""
        client, number = Client(), connection.fileno()
        with self._lock:
            self._clients[number] = client
            if not self._poll.closed:
                # No event is asked for: epoll reports a hang-up in any case.
                self._poll.register(number, select.EPOLLONESHOT)
        if self._poll.closed:
            client.leave()
        try:
            yield client
        finally:
            with self._lock:
                del self._clients[number]
                if not self._poll.closed:
                    self._poll.unregister(number)

    def close(self) -> None:
        """End the thread. No client is watched any more: one that asks from now on counts as
        left."""
        self._wake.close()
        self._thread.join()
        with self._lock:
            self._poll.close()
            left = list(self._clients.values())
        for client in left:
            client.leave()

    def _run(self) -> None:
        with self._woken:
            while True:
                numbers = [number for number, _ in self._poll.poll()]
                if self._woken.fileno() in numbers:
                    return
                with self._lock:
                    # Meanwhile another connection may have been given the number.
                    left = [
                        self._clients[number]
                        for number in numbers
                        if number in self._clients and _hung_up(number)
                    ]
                for client in left:
                    client.leave()


def _hung_up(number: int) -> bool:
    poll = select.poll()
    poll.register(number, 0)
    return bool(poll.poll(0))
