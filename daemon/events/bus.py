"""Passes events from the threads where they happen to subscribers and followers."""

import queue
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TypeVar

from ..observers import Observers
from .event import Event

_HELD_EVENTS = 1000
"""Number of events that a follower may lag behind: a slow terminal must neither hold up the
conversation nor fill the memory."""

Kind = TypeVar("Kind", bound=Event)


class Events:
    """Gives every event to all subscribers and followers of that moment."""

    def __init__(self) -> None:
        self._observers = Observers[Event]()

    def subscribe(self, kind: type[Kind], call: Callable[[Kind], object]) -> Callable[[], None]:
        """Call `call` with every event of `kind` from now on, under the rules of `Observers`.
        Returns the function that ends this."""

        def call_with_kind(event: Event) -> None:
            if isinstance(event, kind):
                call(event)

        return self._observers.subscribe(call_with_kind)

    def publish(self, event: Event) -> None:
        """Give `event` to all subscribers and followers. Never blocks and never raises."""
        self._observers.tell(event)

    @contextmanager
    def follow(self) -> Iterator["queue.Queue[Event]"]:
        """Yield a queue that gets every event published until the block ends. A follower that lags
        too far behind misses events."""
        follower: queue.Queue[Event] = queue.Queue(_HELD_EVENTS)

        def put(event: Event) -> None:
            with suppress(queue.Full):
                follower.put_nowait(event)

        unsubscribe = self.subscribe(Event, put)
        try:
            yield follower
        finally:
            unsubscribe()
