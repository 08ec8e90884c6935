"""Stores what generations heard in shadow. Knows no model."""

from dataclasses import dataclass

from .records import FIRST_USER, RoundOutcome, ShadowReading, Turn
from .store import Store


@dataclass(frozen=True)
class ShadowReadings:
    """The turns that generations heard in shadow."""

    store: Store

    def began_at(self, generation: int) -> float | None:
        """Return when the generation's round ended, by the service clock; None if that was not
        stored."""
        rows = self.store.rows(
            "SELECT max(service_at) FROM rounds WHERE generation = ? AND outcome = 'shadowed'",
            generation,
        )
        return None if rows[0][0] is None else float(rows[0][0])

    def standing(self, user: int = FIRST_USER) -> list[int]:
        """Return the generations of `user` whose time in shadow has not ended yet."""
        return [
            row[0]
            for row in self.store.rows(
                "SELECT DISTINCT generation FROM rounds WHERE outcome = 'shadowed' AND user = ?",
                user,
            )
        ]

    def unheard(self, generation: int, since: float, user: int = FIRST_USER) -> list[Turn]:
        """Return the spoken turns of `user` since `since`, a time of the service clock, that the
        generation has not heard, the oldest first."""
        return self.store.history.turns_not_heard_in_shadow(generation, since, user)

    def add(self, generation: int, turn: int, heard: str, reply: str | None) -> None:
        """Store what the generation heard in a turn, and the reply that this led to; None if it
        heard the same words as the served one."""
        with self.store.writing() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO shadow_readings SELECT ?1, ?2, ?3, ?4 WHERE EXISTS"
                " (SELECT 1 FROM turns WHERE id = ?1)",  # it may be forgotten meanwhile
                (turn, generation, heard, reply),
            )

    def compared(self, generation: int) -> list[ShadowReading]:
        """Return every turn that the generation heard, beside what the served one heard."""
        rows = self.store.rows(
            "SELECT t.id, t.heard, t.reply, t.sure, c.text, s.heard, s.reply FROM shadow_readings s"
            " JOIN turns t ON t.id = s.turn LEFT JOIN utterances u ON u.id = t.utterance LEFT JOIN"
            " labels c ON c.id = u.label AND c.origin != 'recognised' WHERE s.generation = ? ORDER"
            " BY t.id",
            generation,
        )
        return [
            ShadowReading(turn, heard, reply, None if sure is None else bool(sure), *more)
            for turn, heard, reply, sure, *more in rows
        ]

    def end(self, generation: int, outcome: RoundOutcome, reason: str) -> None:
        """Store what became of the generation, as the outcome of its round."""
        with self.store.writing() as connection:
            connection.execute(
                "UPDATE rounds SET outcome = ?, reason = ? WHERE generation = ? AND outcome ="
                " 'shadowed'",
                (outcome, reason, generation),
            )
