"""A time in which nothing is kept of what is said. Safe to use from several threads."""

from collections.abc import Callable


class PrivateTime:
    """Whether something may be kept now."""

    def __init__(self, elapsed: Callable[[], float], keeps: bool) -> None:
        """`elapsed` returns seconds that are never set back. `keeps` says whether anything is kept
        otherwise."""
        self._elapsed = elapsed
        self._until = 0.0
        self.keeps = keeps

    def begin(self, seconds: float) -> None:
        """Keep nothing for so many seconds from now on."""
        self._until = self._elapsed() + seconds

    def end(self) -> None:
        """Keep again what is kept otherwise."""
        self._until = 0.0

    @property
    def left_seconds(self) -> float:
        """The seconds for which nothing is kept; 0 if it may be."""
        return max(0.0, self._until - self._elapsed())
