"""Whether somebody needs the machine now: training stands still while they do, and starts only
after a quiet while."""

import threading
import time
from collections.abc import Callable

from .observers import Observers


class Attention:
    """Counts the reasons to be attentive: speech that has begun, turns that wait for their
    reply."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.RLock()
        self._reasons = 0
        self._quiet_since = clock()
        self.changes = Observers[bool]()
        """Told True when attention begins and False when it ends, in this order."""

    def begin(self) -> None:
        """One more reason; every `begin` is followed by one `end`."""
        with self._lock:
            self._reasons += 1
            if self._reasons == 1:
                self.changes.tell(True)

    def end(self) -> None:
        with self._lock:
            self._reasons -= 1
            if self._reasons == 0:
                self._quiet_since = self._clock()
                self.changes.tell(False)

    @property
    def needed(self) -> bool:
        return self._reasons > 0

    def quiet_seconds(self) -> float:
        """How long nobody has needed anything; 0 while somebody does."""
        with self._lock:
            return 0.0 if self._reasons else self._clock() - self._quiet_since
