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

from ..events.event import Event
from ..store.records import Turn
from ..store.store import Store

logger = logging.getLogger(__name__)

_PUT_OFF = "another program held the database for a moment: this turn is kept by now"


@dataclass(frozen=True, eq=False)
class QueuedTurn:
    """A turn that waits for its answer."""

    number: int
    words: Float32 | str
    """What was said, [N] samples at SAMPLE_RATE_HZ, or typed."""
    source: str
    """`microphone`, `file`, or `text`."""
    route: str | None
    """The route that was asked for; None for the one in use."""
    asked_at: float
    """By `time.perf_counter`."""
    events: "queue.SimpleQueue[Event] | None"
    """Where the turn's events go besides all followers."""
    abandoned: threading.Event = field(default_factory=threading.Event)
    """Set once the client has left. What a client asked is not kept then: what was said is a file
    of the client's."""


@dataclass(frozen=True)
class KeptTurn:
    """What became of a turn in the store."""

    id: int | None = None
    """None where the turn is not stored yet."""
    utterance: str | None = None
    """None for a typed turn, and where audio is not kept."""
    warning: str | None = None
    """Why the turn is not stored yet."""


@dataclass(frozen=True)
class TurnLog:
    """Stores turns and their audio."""

    store: Store
    keeps_audio: bool

    def keep(self, queued: QueuedTurn, turn: Turn) -> KeptTurn:
        """Store the turn, later where another program holds the database; the reply was given, so
        what goes wrong is told beside it and not in place of it."""
        try:
            stored = self.store.later.do(
                lambda: self.store.history.add_turn(
                    replace(turn, utterance=self._keep_audio(queued))
                ),
                "a turn that was answered",
            )
        except AttuneError as error:
            logger.error("a turn was not stored: %s", error)
            return KeptTurn(warning=str(error))
        if stored is None:
            return KeptTurn(warning="; ".join(self.store.later.problems()) or _PUT_OFF)
        return KeptTurn(stored.id, stored.utterance)

    def keep_audio_or_tell(self, queued: QueuedTurn) -> None:
        """Store what was said in a turn that was not answered. Never raises."""
        try:
            self.store.later.do(
                lambda: self._keep_audio(queued), "what was said in a turn that was not answered"
            )
        except AttuneError as full:
            logger.error("and what was said is lost: %s", full)
        except Exception:  # a defect here must not take the voice from all other turns
            logger.exception("and what was said is lost")

    def _keep_audio(self, queued: QueuedTurn) -> str | None:
        if isinstance(queued.words, str) or not self.keeps_audio:
            return None
        return self.store.add_utterance(queued.words, queued.source).id
