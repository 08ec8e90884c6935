"""Whether somebody needs the machine now: training stands still while they do, and starts only
after a quiet while."""

import logging
import threading
import time
from collections.abc import Callable

logger = logging.getLogger(__name__)


class Attention:
    """Counts the reasons to be attentive: speech that has begun, turns that wait for their
    reply."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.RLock()
        self._reasons = 0
        self._quiet_since = clock()
        self._watchers: list[Callable[[bool], None]] = []

    def watch(self, changed: Callable[[bool], None]) -> None:
        """Call `changed(True)` when attention begins, `changed(False)` when it ends: in order, in
        whichever thread that is."""
        self._watchers.append(changed)

    def begin(self) -> None:
        """One more reason; every `begin` is followed by one `end`."""
        with self._lock:
            self._reasons += 1
            if self._reasons == 1:
                self._tell(True)

    def end(self) -> None:
        with self._lock:
            self._reasons -= 1
            if self._reasons == 0:
                self._quiet_since = self._clock()
                self._tell(False)

    @property
    def needed(self) -> bool:
        return self._reasons > 0

    def quiet_seconds(self) -> float:
        """How long nobody has needed anything; 0 while somebody does."""
        with self._lock:
            return 0.0 if self._reasons else self._clock() - self._quiet_since

    def _tell(self, attentive: bool) -> None:
        for changed in self._watchers:
            try:
                changed(attentive)
            except Exception:  # who begins could not know whether it has to end
                logger.exception(
                    "somebody could not be told that attention %s",
                    "began" if attentive else "ended",
                )
