"""Watches the clocks, and rings what is due.

An alarm is marked in the store before it rings, and removed once it has: whenever the process is
killed, it rings on after the next start, and none rings anew that was ended.
"""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace

from engines.errors import AttuneError

from ..events.alarms import AlarmEnded, AlarmRings
from ..events.bus import Events
from ..store.store import Store
from .alarm import Alarm, Kind, Now, next_time, seconds_left
from .shelf import AlarmShelf
from .words import missed_words, ringing_words

logger = logging.getLogger(__name__)

RING_SECONDS: dict[Kind, float] = {"timer": 120.0, "alarm": 600.0, "reminder": 120.0}
"""How long each kind rings if nobody says stop."""
AGAIN_SECONDS: dict[Kind, float] = {"timer": 6.0, "alarm": 6.0, "reminder": 30.0}
"""Seconds between two rings."""
MOST_LATE_SECONDS = 1800.0
"""The most seconds by which one may be late and still ring. Later than that it is only told."""
_LOOK_SECONDS = 2.0
"""The longest time without a look at the clocks: somebody may set one."""
_PATIENCE_SECONDS = 10.0
"""How long the first ring waits for somebody who is speaking, or for a reply, to end."""


@dataclass(eq=False)
class _Ringing:
    alarm: Alarm
    text: str
    since: float
    """By `Clocks.elapsed`."""
    again_at: float
    rang: bool = False


class AlarmKeeper:
    """The thread that rings. Its methods may be called from any thread."""

    def __init__(
        self,
        shelf: AlarmShelf,
        store: Store,
        events: Events,
        ring: Callable[[str], None],
        hush: Callable[[], None],
        busy: Callable[[], bool],
    ) -> None:
        """`ring` makes a sound and says a text, and returns at once; `hush` ends that. `busy` says
        whether somebody speaks, or is answered."""
        self._shelf = shelf
        self._store = store
        self._events = events
        self._ring = ring
        self._hush = hush
        self._busy = busy
        self._lock = threading.RLock()
        """Held while what rings is changed, in memory and in the store."""
        self._ringing: dict[int, _Ringing] = {}
        self._changed = threading.Condition()
        self._stopping = self._look_now = False
        self._thread = threading.Thread(target=self._run, name="alarms", daemon=True)

    def start(self) -> None:
        """Begin to watch the clocks."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread. What rings, rings on after the next start."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        if self._thread.is_alive():
            self._thread.join()

    def look(self) -> None:
        """Look at the clocks soon: something changed."""
        with self._changed:
            self._look_now = True
            self._changed.notify_all()

    @property
    def ringing(self) -> bool:
        """Whether anything rings."""
        return bool(self._ringing)

    def end_ringing(self) -> list[Alarm]:
        """End what rings, and return it. Raises AttuneError if that cannot be stored; it is silent
        all the same."""
        with self._lock:
            ended = list(self._ringing.values())
            self._ringing.clear()
            if ended:
                self._hush()
            for one in ended:
                self._end(one.alarm, "stopped")
        return [one.alarm for one in ended]

    def missed(self) -> list[str]:
        """Return a sentence for each that was missed, or rang and nobody answered, since the last
        call."""
        rows = self._store.rows("SELECT id, text FROM missed_alarms ORDER BY id")
        if rows:
            with self._store.writing() as connection:
                connection.execute("DELETE FROM missed_alarms WHERE id <= ?", (rows[-1][0],))
        return [text for _, text in rows]

    # --- in the thread

    def _run(self) -> None:
        while not self._stopping:
            wait = _LOOK_SECONDS
            try:
                wait = self.tick()
            except AttuneError as error:
                logger.error("alarms cannot be looked at: %s", error)
            except Exception:  # a defect in one must not silence all others
                logger.exception("alarms failed")
            with self._changed:
                self._changed.wait_for(lambda: self._stopping or self._look_now, wait)
                self._look_now = False

    def tick(self) -> float:
        """Ring what is due now, and end what has rung for long. Returns the seconds after which to
        look again."""
        with self._lock:
            return self._tick()

    def _tick(self) -> float:
        now = self._shelf.now()
        soonest = _LOOK_SECONDS
        alarms = self._shelf.all()
        rings = {alarm.id for alarm in alarms if alarm.ringing_since is not None}
        for number in self._ringing.keys() - rings:  # it was cancelled, or has more time
            del self._ringing[number]
            self._hush()
            self._events.publish(AlarmEnded(id=number, how="stopped"))
        for alarm in alarms:
            if alarm.ringing_since is not None:
                self._take_up(alarm, now)
            elif alarm.left_seconds is None:
                left = seconds_left(alarm, now)
                if left <= 0:
                    self._begin(alarm, now, -left)
                else:
                    soonest = min(soonest, left)
        for one in list(self._ringing.values()):
            soonest = min(soonest, self._ring_on(one, now))
        return max(0.01, soonest)

    def _begin(self, alarm: Alarm, now: Now, late: float) -> None:
        if late > MOST_LATE_SECONDS:
            logger.warning("a %s was missed by %.0f seconds", alarm.kind, late)
            self._end(alarm, "missed")
            return
        ringing = replace(alarm, ringing_since=now.wall)
        if self._shelf.change(ringing):  # unless it was cancelled just now
            self._sound(ringing, now, late, resumed=False)

    def _take_up(self, alarm: Alarm, now: Now) -> None:
        """Ring on what rang when the daemon ended."""
        if alarm.id in self._ringing:
            return
        assert alarm.ringing_since is not None
        rang = now.wall - alarm.ringing_since
        if rang > RING_SECONDS[alarm.kind]:
            self._end(alarm, "unanswered")
            return
        self._sound(alarm, now, 0.0, resumed=True)

    def _sound(self, alarm: Alarm, now: Now, late: float, *, resumed: bool) -> None:
        text = ringing_words(alarm, now, late)
        self._ringing[alarm.id] = _Ringing(alarm, text, now.elapsed, now.elapsed)
        self._events.publish(
            AlarmRings(
                id=alarm.id,
                kind=alarm.kind,
                text=text,
                late_seconds=round(late, 1),
                resumed=resumed,
            )
        )

    def _ring_on(self, one: _Ringing, now: Now) -> float:
        """Ring if it is time. Returns the seconds until it is again."""
        kind = one.alarm.kind
        if now.elapsed - one.since > RING_SECONDS[kind]:
            del self._ringing[one.alarm.id]
            self._end(one.alarm, "unanswered")
            return _LOOK_SECONDS
        if now.elapsed < one.again_at:
            return one.again_at - now.elapsed
        waits = one.rang or now.elapsed - one.since < _PATIENCE_SECONDS
        if self._busy() and waits:
            return 0.2
        one.rang = True
        one.again_at = now.elapsed + AGAIN_SECONDS[kind]
        self._ring(one.text)
        return AGAIN_SECONDS[kind]

    def _end(self, alarm: Alarm, how: str) -> None:
        """Remove one that is over, or set it to its next time. What nobody heard is noted."""
        now = self._shelf.now()
        again = next_time(alarm, now.local)
        with self._store.writing() as connection:
            if how != "stopped":
                connection.execute(
                    "INSERT INTO missed_alarms (text, added_at) VALUES (?, ?)",
                    (missed_words(alarm, now), now.wall),
                )
            if again is None:
                self._shelf.remove(alarm.id)
            else:
                self._shelf.change(replace(alarm, local_time=again, ringing_since=None))
        self._events.publish(AlarmEnded(id=alarm.id, how=how))
