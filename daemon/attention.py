"""Tells whether a user needs the machine now. Training stands still meanwhile, and starts only
after it was quiet for a while."""

import threading
import time
from collections.abc import Callable

from .observers import Observers


class Attention:
    """Counts the reasons to be attentive: speech that has begun, and turns that wait for a
    reply."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.RLock()
        self._reasons = 0
        self._quiet_since = clock()
        self.changes = Observers[bool]()
        """Observers that are told True when attention begins and False when it ends, in order."""

    def begin(self) -> None:
        """Add a reason to be attentive. Every `begin` is followed by one `end`."""
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
        """Return for how many seconds there was no reason to be attentive; 0 while there is one."""
        with self._lock:
            return 0.0 if self._reasons else self._clock() - self._quiet_since


class Held:
    """A reason to be attentive that somebody gives and takes back by hand."""

    def __init__(self, attention: Attention) -> None:
        self._attention = attention
        self._lock = threading.Lock()
        self._held = False

    def hold(self, held: bool) -> None:
        """Be attentive from now on, or no longer."""
        with self._lock:
            if held and not self._held:
                self._attention.begin()
            if self._held and not held:
                self._attention.end()
            self._held = held
