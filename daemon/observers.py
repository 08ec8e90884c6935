"""The one way in which a part of the daemon tells others that something happened."""

import logging
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

logger = logging.getLogger(__name__)

Told = TypeVar("Told")


class Observers(Generic[Told]):
    """Functions that are called with every value that is told.

    They are called in the thread that tells, one after another, in the order in which they
    subscribed. They must take microseconds and never wait. An exception of one of them is logged:
    the part that tells knows none of them.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls: tuple[Callable[[Told], object], ...] = ()

    def subscribe(self, call: Callable[[Told], object]) -> Callable[[], None]:
        """Call `call` with every value from now on. Returns the function that ends this."""
        with self._lock:
            self._calls = (*self._calls, call)

        def unsubscribe() -> None:
            with self._lock:
                self._calls = tuple(one for one in self._calls if one is not call)

        return unsubscribe

    def tell(self, value: Told) -> None:
        """Call every subscribed function with `value`. Never raises."""
        for call in self._calls:
            try:
                call(value)
            except Exception:
                logger.exception("an observer of %s failed", type(value).__name__)
