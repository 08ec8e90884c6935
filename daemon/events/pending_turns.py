"""Which turns of the microphone wait for their answer, by the events that tell of both."""

import threading


class PendingTurns:
    """The turns whose speech has ended and that are not answered. Safe to use from several threads.

    An answer that was begun early may be told before the end of its speech is.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._turns: set[int] = set()
        self._answered: set[int] = set()
        """Turns that were answered, since the end of speech was told last."""

    def __bool__(self) -> bool:
        return bool(self._turns)

    def begin(self, turn: int) -> None:
        """The speech of `turn` has ended."""
        with self._lock:
            if turn not in self._answered:
                self._turns.add(turn)
            self._answered.clear()

    def end(self, turn: int) -> None:
        """`turn` is answered, or never will be."""
        with self._lock:
            if turn in self._turns:
                self._turns.remove(turn)
            else:
                self._answered = {turn}
