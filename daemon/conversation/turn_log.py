"""Turns on their way into the store: what was said is kept whatever became of it, and a reply that
was given is never taken back.

Knows the store, no route and no language model.
"""

import logging
import queue
import threading
from dataclasses import dataclass, field, replace

from engines.errors import AttuneError
from engines.types import Float32

from ..events import Event
from ..store.records import Turn
from ..store.store import Store

logger = logging.getLogger(__name__)

_PUT_OFF = "another program held the database for a moment: this turn is kept by now"


@dataclass(frozen=True, eq=False)
class QueuedTurn:
    """A turn that is to be answered."""

    number: int
    words: Float32 | str
    source: str
    route: str | None
    asked_at: float
    events: "queue.SimpleQueue[Event] | None"
    """Where its events go besides all followers."""
    abandoned: threading.Event = field(default_factory=threading.Event)
    """Set once the client has left. What a client asked is not kept then: what was said is a file
    of the client's."""


@dataclass(frozen=True)
class TurnLog:
    """Where turns go."""

    store: Store
    keeps_audio: bool

    def keep(self, waiting: QueuedTurn, turn: Turn) -> Event:
        """Store the turn, later where another program holds the database; the reply was given, so
        what goes wrong is told beside it and not in place of it."""
        shown: Event = {
            name: getattr(turn, name)
            for name in ("route", "heard", "reply", "first_token_ms", "reply_ms", "generation")
        }
        try:
            stored = self.store.later.do(
                lambda: self.store.add_turn(replace(turn, utterance=self._keep_audio(waiting))),
                "a turn that was answered",
            )
        except AttuneError as error:
            logger.error("a turn was not stored: %s", error)
            return {**shown, "id": None, "utterance": None, "warning": str(error)}
        if stored is None:
            return {
                **shown,
                "id": None,
                "utterance": None,
                "warning": "; ".join(self.store.later.problems()) or _PUT_OFF,
            }
        return {**shown, "id": stored.id, "utterance": stored.utterance}

    def keep_audio_or_tell(self, waiting: QueuedTurn) -> None:
        """Store what was said in a turn that was not answered. Never raises."""
        try:
            self.store.later.do(
                lambda: self._keep_audio(waiting), "what was said in a turn that was not answered"
            )
        except AttuneError as full:
            logger.error("and what was said is lost: %s", full)
        except Exception:  # a defect here must not take the voice from all other turns
            logger.exception("and what was said is lost")

    def _keep_audio(self, waiting: QueuedTurn) -> str | None:
        if isinstance(waiting.words, str) or not self.keeps_audio:
            return None
        return self.store.add_utterance(waiting.words, waiting.source).id
