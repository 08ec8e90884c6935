"""What adaptation says of itself, and who follows it. Knows nothing of rounds."""

import threading
from collections.abc import Callable

Status = dict[str, object]


class Standing:
    """A status that threads change and others follow."""

    def __init__(self, at_once: Callable[[], Status]) -> None:
        """`at_once` gives what is only known when it is asked; it is asked from any thread and must
        not wait."""
        self._at_once = at_once
        self._lock = threading.Lock()
        self._followers: list[Callable[[Status], None]] = []
        self._status: Status = {
            "state": "waiting",
            "stage": "",
            "fraction": 0.0,
            "note": "",
            "number": None,
        }
        self._status |= {
            "last_outcome": None,
            "last_reason": "",
            "consecutive_failures": 0,
            "pauses": 0,
        }
        self._status |= {
            "pause_latency_ms": None,
            "budget_bytes": None,
            "predicted_bytes": None,
            "most_used_bytes": None,
        }

    def read(self) -> Status:
        with self._lock:
            status = dict(self._status)
        return status | self._at_once()

    def publish(self, outcome: str | None = None, **changes: object) -> None:
        """Change the status and tell it, where anything did change, to all followers; with an
        `outcome` in any case."""
        with self._lock:
            before = self._status
            self._status = {**before, **changes}
            followers = list(self._followers) if outcome or self._status != before else []
        for follower in followers:
            follower(self.read() | ({} if outcome is None else {"outcome": outcome}))

    def subscribe(self, follower: Callable[[Status], None]) -> Callable[[], None]:
        """Call `follower` with the status at every step from now on, from other threads; it must
        neither block nor raise.

        The last status of a round, or of a request that could not be met, has the key `outcome`.
        Returns what unsubscribes.
        """
        with self._lock:
            self._followers.append(follower)

        def unsubscribe() -> None:
            with self._lock:
                if follower in self._followers:
                    self._followers.remove(follower)

        return unsubscribe
