"""What is told of a port that cannot be opened. Knows no protocol."""

import logging

logger = logging.getLogger(__name__)

RETRY_SECONDS = 10.0
"""Time after which a port that could not be opened is tried again."""


class PortProblem:
    """Why one port is not served."""

    def __init__(self, what: str, setting: str) -> None:
        """`what` is served at the address in `setting`."""
        self._what = what
        self._setting = setting
        self.text = ""
        """For the user; empty if it is served."""

    def note(self, host: str, port: int, error: OSError | UnicodeError) -> None:
        """Note that the port cannot be opened, and tell so once. UnicodeError: the host is no name
        at all."""
        why = getattr(error, "strerror", None) or str(error)
        text = (
            f"{self._what} cannot be served at {host}:{port} ({why}); it is tried again, or set"
            f" {self._setting} to another"
        )
        if text != self.text:
            logger.warning("%s", text)
        self.text = text

    def clear(self) -> None:
        """Note that the port is open."""
        self.text = ""
