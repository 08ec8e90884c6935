"""What happens in the daemon, as plain dictionaries, passed from the threads where it happens to
those who follow."""

import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Event = dict[str, object]

_HELD_EVENTS = 1000
"""Events that a follower may lag behind: a slow terminal must not hold up a conversation, nor fill
the memory."""


class Events:
    """A fan-out: every follower gets every event published while it follows."""

    def __init__(self) -> None:
        self._followers: set[queue.Queue[Event]] = set()
        self._watchers: list[Callable[[Event], None]] = []
        self._lock = threading.Lock()

    def watch(self, note: Callable[[Event], None]) -> None:
        """Call `note` with every event, in the thread that publishes it: it must take no time and
        not raise."""
        self._watchers.append(note)

    def publish(self, event: Event) -> None:
        """Hand `event` to all followers; one that lags too far behind misses it. Never blocks."""
        for note in self._watchers:
            note(event)
        with self._lock:
            for follower in self._followers:
                if not follower.full():
                    follower.put_nowait(event)

    @contextmanager
    def follow(self) -> Iterator[queue.Queue[Event]]:
        """A queue of everything published from here to the end of the `with`."""
        follower: queue.Queue[Event] = queue.Queue(_HELD_EVENTS)
        with self._lock:
            self._followers.add(follower)
        try:
            yield follower
        finally:
            with self._lock:
                self._followers.discard(follower)
