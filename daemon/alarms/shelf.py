"""Keeps alarms in the store."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, tzinfo
from typing import Any

from ..store.store import Store
from .alarm import Alarm, Now

MOST = 200
_COLUMNS = (
    "id, kind, name, seconds, local_time, days, due_wall, due_elapsed, boot, left_seconds,"
    " ringing_since"
)


class AlarmShelf:
    """All timers, alarms and reminders that are not over; safe to use from several threads."""

    def __init__(self, store: Store, zone: Callable[[], tzinfo]) -> None:
        """`zone` returns the zone where the user is."""
        self._store = store
        self._zone = zone

    def now(self) -> Now:
        """Return the present."""
        clocks = self._store.clocks
        return Now(clocks.wall(), clocks.elapsed(), clocks.boot(), self._zone())

    def all(self) -> list[Alarm]:
        """Return them all, in the order in which they were added."""
        rows = self._store.rows(f"SELECT {_COLUMNS} FROM alarms ORDER BY id")  # noqa: S608
        return [_alarm(row) for row in rows]

    def add(self, alarm: Alarm) -> Alarm:
        """Store a new one, whose length of time begins now, and return it with its number. Raises
        AttuneError if that cannot be."""
        alarm = self.begun(alarm)
        with self._store.writing() as connection:
            cursor = connection.execute(
                "INSERT INTO alarms (kind, name, seconds, local_time, days, due_wall, due_elapsed,"
                " boot, left_seconds, ringing_since, added_at)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (*_values(alarm), self._store.clocks.wall()),
            )
        return replace(alarm, id=cursor.lastrowid or 0)

    def begun(self, alarm: Alarm, seconds: float | None = None) -> Alarm:
        """Return `alarm` with its length of time, or `seconds`, beginning now."""
        length = alarm.seconds if seconds is None else seconds
        if length is None:
            return alarm
        now = self.now()
        return replace(
            alarm,
            due_wall=now.wall + length,
            due_elapsed=now.elapsed + length,
            boot=now.boot,
            left_seconds=None,
        )

    def put_back(self, alarm: Alarm) -> None:
        """Store one again that was removed, with the number that it had."""
        with self._store.writing() as connection:
            connection.execute(
                f"INSERT OR REPLACE INTO alarms ({_COLUMNS}, added_at)"  # noqa: S608
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (alarm.id, *_values(alarm), self._store.clocks.wall()),
            )

    def change(self, alarm: Alarm) -> bool:
        """Store `alarm` in the place of the one with its number. Returns whether that was there."""
        with self._store.writing() as connection:
            cursor = connection.execute(
                "UPDATE alarms SET kind = ?, name = ?, seconds = ?, local_time = ?, days = ?,"
                " due_wall = ?, due_elapsed = ?, boot = ?, left_seconds = ?, ringing_since = ?"
                " WHERE id = ?",
                (*_values(alarm), alarm.id),
            )
        return cursor.rowcount > 0

    def remove(self, number: int) -> None:
        """Remove the one with this number, if it is there."""
        with self._store.writing() as connection:
            connection.execute("DELETE FROM alarms WHERE id = ?", (number,))


def _values(alarm: Alarm) -> tuple[Any, ...]:
    return (
        alarm.kind,
        alarm.name,
        alarm.seconds,
        alarm.local_time.isoformat(timespec="minutes") if alarm.local_time else None,
        json.dumps(alarm.days),
        alarm.due_wall,
        alarm.due_elapsed,
        alarm.boot,
        alarm.left_seconds,
        alarm.ringing_since,
    )


def _alarm(row: tuple[Any, ...]) -> Alarm:
    (
        number,
        kind,
        name,
        seconds,
        local_time,
        days,
        due_wall,
        due_elapsed,
        boot,
        left,
        ringing,
    ) = row
    return Alarm(
        kind=kind,
        name=name,
        seconds=seconds,
        local_time=datetime.fromisoformat(local_time) if local_time else None,
        days=tuple(json.loads(days)),
        due_wall=due_wall,
        due_elapsed=due_elapsed,
        boot=boot,
        left_seconds=left,
        ringing_since=ringing,
        id=number,
    )
