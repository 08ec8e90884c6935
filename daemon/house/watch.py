"""Keeps the rooms and devices of the house as they are now."""

import logging
import threading
from collections.abc import Callable

from engines.errors import AttuneError

from .client import HomeAssistant
from .home import Home

logger = logging.getLogger(__name__)

_EVERY_SECONDS, _RETRY_SECONDS = 300.0, 30.0


class HouseWatch:
    """The thread that asks Home Assistant for its rooms and devices."""

    def __init__(
        self, assistant: HomeAssistant, changed: Callable[[Home], None] = lambda home: None
    ) -> None:
        """Call `changed` whenever there are others than before."""
        self.assistant = assistant
        self._changed = changed
        self._stopping = threading.Event()
        self.home = Home()
        """The house as it was told last; empty before that."""
        self.problem = ""
        """Why the house cannot be reached; empty while that is not known to be so."""
        self._thread = threading.Thread(target=self._run, name="house", daemon=True)

    def start(self) -> None:
        """Begin to ask."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread. What it is waiting for is bounded in time."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    def look(self) -> None:
        """Ask once, in this thread."""
        try:
            home = self.assistant.home()
        except AttuneError as error:
            if str(error) != self.problem:
                logger.warning("the house is not known: %s", error)
            self.problem = str(error)
            return
        if self.problem or home != self.home:
            logger.info(
                "the house has %d rooms and %d devices", len(home.areas), len(home.entities)
            )
        self.problem = ""
        if home != self.home:
            self.home = home
            self._changed(home)

    def _run(self) -> None:
        while True:
            try:
                self.look()
            except Exception:  # what a house tells must not end the thread
                logger.exception("the house could not be read")
                self.problem = "what Home Assistant tells could not be read; the log says more"
            if self._stopping.wait(_RETRY_SECONDS if self.problem else _EVERY_SECONDS):
                return
