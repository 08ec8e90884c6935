"""Keeps what happened, in order: turns, rounds, and which generation was served when."""

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, fields, replace
from typing import Any, Protocol

from ..clocks import Clocks
from .label_check import same_words
from .later_writes import LaterWrites
from .records import FIRST_USER, STRANGERS, Move, Round, RoundOutcome, Turn, Use
from .sqlite import sqlite3

_TURN_COLUMNS = tuple(field.name for field in fields(Turn))
_ROUND_COLUMNS = tuple(field.name for field in fields(Round))
_MOVE_COLUMNS = tuple(field.name for field in fields(Move))
_SPOKEN_BY = f"SELECT id FROM utterances WHERE coalesce(user, served) = ? AND NOT ({STRANGERS})"  # noqa: S608
"""The utterances of a user, and those that may be theirs."""
_LEARNT: tuple[RoundOutcome, ...] = ("promoted", "refused", "shadowed")
"""Outcomes of rounds that have learnt from their labels."""


class TimedDatabase(Protocol):
    """The part of the store that the history needs."""

    clocks: Clocks
    later: LaterWrites

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """Return the rows that a query finds."""

    def writing(self) -> AbstractContextManager[sqlite3.Connection]:
        """Run the block in one transaction."""

    def service_seconds(self) -> float:
        """Return the time of the service clock, by which ages are measured."""


class History:
    """The history in a store, and as safe to use from several threads as the store."""

    def __init__(self, database: TimedDatabase) -> None:
        self._database = database

    # --- turns

    def add_turn(self, turn: Turn) -> Turn:
        """Store `turn`. Returns it with its id."""
        values = {name: value for name, value in asdict(turn).items() if name != "id"}
        with self._database.writing() as connection:
            cursor = _insert(connection, "turns", values, self._database.service_seconds())
        return replace(turn, id=cursor.lastrowid or 0)

    def remove_turn(self, number: int | None) -> None:
        """Remove the turn with the id `number`, if there is one."""
        with self._database.writing() as connection:
            connection.execute("DELETE FROM turns WHERE id = ?", (number,))

    def forget_turns(self, age_seconds: float) -> int:
        """Remove turns that are older than `age_seconds` of the service clock. Returns how many."""
        oldest = self._database.service_seconds() - age_seconds
        with self._database.writing() as connection:
            return connection.execute("DELETE FROM turns WHERE service_at < ?", (oldest,)).rowcount

    def turn(self, number: int) -> Turn | None:
        """Return the turn with the id `number`; None if there is none."""
        return next(iter(self._turns("WHERE id = ?", number)), None)

    def last_turns(self, count: int) -> list[Turn]:
        """Return the latest `count` turns, the newest first."""
        return self._turns("ORDER BY id DESC LIMIT ?", count)

    def last_spoken_turn(self) -> Turn | None:
        """Return the latest turn whose audio was kept, which a correction means by default; None if
        there is none."""
        return next(iter(self._turns("WHERE utterance IS NOT NULL ORDER BY id DESC LIMIT 1")), None)

    def turns_not_heard_in_shadow(
        self, generation: int, since: float, user: int = FIRST_USER
    ) -> list[Turn]:
        """Return the spoken turns of `user` since `since`, a time of the service clock, that
        `generation` has not heard in shadow; the oldest first."""
        return self._turns(
            f"WHERE utterance IN ({_SPOKEN_BY}) AND service_at >= ? AND NOT EXISTS (SELECT 1 FROM"  # noqa: S608
            " shadow_readings s WHERE s.turn = turns.id AND s.generation = ?) ORDER BY id",
            user,
            since,
            generation,
        )

    def use(self, generation: int, user: int = FIRST_USER) -> tuple[Use, Use]:
        """Count the spoken turns of `user` and how many of them were corrected: those that
        `generation` heard, and all others."""
        spoken = self._database.rows(
            "SELECT generation IS ?, count(*) FROM turns WHERE utterance IN"  # noqa: S608
            f" ({_SPOKEN_BY}) GROUP BY 1",
            generation,
            user,
        )
        corrected = self._database.rows(
            "SELECT DISTINCT t.id, t.generation IS ?, l.text, t.heard FROM labels l JOIN turns t ON"  # noqa: S608
            " t.utterance = l.utterance WHERE l.origin = 'corrected' AND l.text != t.heard AND"
            f" t.utterance IN ({_SPOKEN_BY})",
            generation,
            user,
        )
        turns = {bool(here): count for here, count in spoken}
        wrong = {
            (turn, bool(here))
            for turn, here, text, heard in corrected
            if not same_words(text, heard)
        }
        here, elsewhere = (
            Use(turns.get(side, 0), sum(where == side for _, where in wrong))
            for side in (True, False)
        )
        return here, elsewhere

    # --- rounds

    def add_round(self, finished: Round) -> None:
        """Store how a round ended just now; later, if another program holds the database."""
        ended_at = self._database.service_seconds()

        def add() -> None:
            with self._database.writing() as connection:
                _insert(connection, "rounds", asdict(finished), ended_at)

        self._database.later.do(add, "how a round ended")

    def last_round(self) -> Round | None:
        """Return how the last round ended; None before the first."""
        return next(iter(self.last_rounds(1)), None)

    def last_rounds(self, count: int) -> list[Round]:
        """Return how the latest `count` rounds ended, the newest first."""
        rows = self._database.rows(
            f"SELECT {', '.join(_ROUND_COLUMNS)} FROM rounds ORDER BY id DESC LIMIT ?",  # noqa: S608
            count,
        )
        return [Round(**dict(zip(_ROUND_COLUMNS, row, strict=True))) for row in rows]

    def seconds_since_round(self, user: int = FIRST_USER) -> float:
        """Return the seconds since the last round of `user` ended, at least 0; infinite if there
        was none."""
        ended_at = self._database.rows("SELECT max(service_at) FROM rounds WHERE user = ?", user)[
            0
        ][0]
        if ended_at is None:
            return math.inf
        return max(0.0, self._database.service_seconds() - float(ended_at))

    def last_learnt_label(self, user: int = FIRST_USER) -> int:
        """Return the highest number of a label that a round of `user` has learnt; 0 if none has.

        A round that failed or was cancelled learnt nothing, so its labels are still new.
        """
        rows = self._database.rows(
            "SELECT coalesce(max(labels), 0) FROM rounds WHERE user = ? AND outcome IN (?, ?, ?)",
            user,
            *_LEARNT,
        )
        return int(rows[0][0])

    # --- generations

    def add_move(self, generation: int, reason: str, user: int = FIRST_USER) -> None:
        """Store that `generation` is served to `user` from now on, and why; later, if another
        program holds the database."""
        move = Move(self._database.clocks.wall(), generation, reason, user)

        def add() -> None:
            with self._database.writing() as connection:
                _insert(connection, "moves", asdict(move))

        self._database.later.do(add, "which generation is served")

    def last_moves(self, count: int) -> list[Move]:
        """Return the latest `count` moves, the newest first."""
        rows = self._database.rows(
            f"SELECT {', '.join(_MOVE_COLUMNS)} FROM moves ORDER BY id DESC LIMIT ?",  # noqa: S608
            count,
        )
        return [Move(**dict(zip(_MOVE_COLUMNS, row, strict=True))) for row in rows]

    # --- inside

    def _turns(self, condition: str, *values: object) -> list[Turn]:
        """Return the turns for which `condition`, the rest of a query, holds."""
        rows = self._database.rows(
            f"SELECT {', '.join(_TURN_COLUMNS)} FROM turns {condition}",  # noqa: S608
            *values,
        )
        return [_turn(row) for row in rows]


def _turn(row: Sequence[Any]) -> Turn:
    values = dict(zip(_TURN_COLUMNS, row, strict=True))
    sure = values.pop("sure")
    return Turn(**values, sure=None if sure is None else bool(sure))


def _insert(
    connection: sqlite3.Connection,
    table: str,
    values: dict[str, Any],
    service_at: float | None = None,
) -> sqlite3.Cursor:
    """Insert a row. Its columns have the names of the record's fields; `service_at` is the time of
    the service clock."""
    if service_at is not None:
        values = {**values, "service_at": service_at}
    names, marks = ", ".join(values), ", ".join(f":{name}" for name in values)
    return connection.execute(
        f"INSERT INTO {table} ({names}) VALUES ({marks})",  # noqa: S608 (names of this program)
        values,
    )
