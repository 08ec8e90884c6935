"""Holds the status of adaptation: the thread that schedules rounds changes it, any other reads
it."""

import threading

from ..events.bus import Events
from ..events.learning import AdaptationChanged, AdaptationStatus
from ..store.records import RoundOutcome
from .preemption import Preemption


class CurrentStatus:
    """What adaptation is doing; every change is published as an event."""

    def __init__(self, events: Events, preemption: Preemption) -> None:
        self._events = events
        self._preemption = preemption
        self._lock = threading.Lock()
        self._status = AdaptationStatus()

    def read(self) -> AdaptationStatus:
        """Return the status now. May be called from any thread; never waits."""
        paused = self._preemption.status()
        known: dict[str, object] = {"pauses": paused.pauses, "pause_latency_ms": paused.latency_ms}
        if paused.paused:
            known["state"] = "paused"
        with self._lock:
            return self._status.model_copy(update=known)

    def change(self, outcome: RoundOutcome | None = None, **changes: object) -> None:
        """Set fields of AdaptationStatus, and publish an event if any of them changed. With an
        `outcome`, which says how a round or a request for one ended, an event is always
        published."""
        assert changes.keys() <= AdaptationStatus.model_fields.keys()
        with self._lock:
            before = self._status
            self._status = AdaptationStatus.model_validate({**dict(before), **changes})
            changed = self._status != before
        if outcome or changed:
            self._events.publish(AdaptationChanged(**dict(self.read()), outcome=outcome))
