"""Runs a task again and again in a thread, only while nobody needs the machine."""

import logging
import threading
import time
from collections.abc import Callable
from math import inf

from engines.errors import AttuneError

from .attention import Attention

logger = logging.getLogger(__name__)

AFTER_QUIET_SECONDS = 30.0
_LOOK_EVERY_SECONDS = 5.0


class IdleTask:
    """Calls `act` in a thread of its own, at most once in `every_seconds`."""

    def __init__(
        self,
        name: str,
        act: Callable[[], object],
        attention: Attention,
        every_seconds: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name = name
        self._act = act
        self._attention = attention
        self._every_seconds = every_seconds
        self._clock = clock
        self.stopping = threading.Event()
        """Set while `stop` waits. A task that takes long has to look at it now and then."""
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End the thread after the task that it is doing."""
        self.stopping.set()
        if self._thread.ident is not None:
            self._thread.join()

    def act_or_tell(self) -> None:
        """Do the task now, in this thread. An error is logged, not raised: the task can wait, and
        must not end for good because it failed once."""
        try:
            self._act()
        except (AttuneError, OSError) as error:
            logger.warning("%s is tried again later: %s", self._name, error)
        except Exception:
            logger.exception("%s failed and is tried again later", self._name)

    def _run(self) -> None:
        done_at = -inf
        while not self.stopping.wait(_LOOK_EVERY_SECONDS):
            now = self._clock()
            if (
                self._attention.quiet_seconds() < AFTER_QUIET_SECONDS
                or now - done_at < self._every_seconds
            ):
                continue
            done_at = now
            self.act_or_tell()
