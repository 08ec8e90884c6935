"""Whether the user agreed that what is said is kept, and learned from. Without that, nothing is."""

from dataclasses import dataclass
from typing import Literal

from ..store.store import Store

By = Literal["command line", "voice", "page", "enrolment with an earlier release"]
QUESTION = "Shall I keep what you say to me, on this device only, to learn your voice from it?"
HOW = "`attune consent on` lets Attune keep what is said, and learn from it"


@dataclass(frozen=True)
class Decision:
    """What the user decided."""

    agreed: bool
    by: By
    """How it was said."""
    at: float
    """Seconds since the epoch."""


class Consent:
    """The user's decisions, of which the last one holds. Safe to use from several threads."""

    def __init__(self, store: Store) -> None:
        self._store = store
        rows = store.rows("SELECT agreed, by, at FROM consent ORDER BY id DESC LIMIT 1")
        self._last = Decision(bool(rows[0][0]), rows[0][1], rows[0][2]) if rows else None
        self._asked = bool(store.rows("SELECT 1 FROM consent_asked"))

    @property
    def last(self) -> Decision | None:
        """What the user decided last; None if nobody has decided."""
        return self._last

    @property
    def agreed(self) -> bool:
        """Whether what is said may be kept."""
        return self._last is not None and self._last.agreed

    @property
    def to_be_asked(self) -> bool:
        """Whether nobody has decided, nor was asked by voice."""
        return self._last is None and not self._asked

    def decide(self, agreed: bool, by: By) -> Decision:
        """Note what the user decided. Raises AttuneError if that cannot be stored; nothing is kept
        from now on all the same, if the user did not agree."""
        decision = Decision(agreed, by, self._store.clocks.wall())
        if not agreed:
            self._last = decision
        with self._store.writing() as connection:
            connection.execute(
                "INSERT INTO consent (agreed, by, at) VALUES (?, ?, ?)",
                (decision.agreed, decision.by, decision.at),
            )
        self._last = decision
        return decision

    def note_asked(self) -> None:
        """Note that the question was put by voice, which happens once. Raises AttuneError if that
        cannot be stored."""
        with self._store.writing() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO consent_asked (id, at) VALUES (1, ?)",
                (self._store.clocks.wall(),),
            )
        self._asked = True
