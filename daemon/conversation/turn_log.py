"""Stores turns and their audio: speech is stored even if it was not answered, and a reply that was
given is not taken back if the turn cannot be stored.

Knows the store, no route and no language model.
"""

import logging
import queue
import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace

from engines.errors import AttuneError
from engines.types import Float32

from ..events.event import Event
from ..store.records import FIRST_USER, Turn
from ..store.store import Store
from .early import Early
from .memory import DEVICE

logger = logging.getLogger(__name__)

_PUT_OFF = "another program held the database for a moment: this turn is kept by now"


@dataclass(frozen=True, eq=False)
class QueuedTurn:
    """A turn that waits in the queue for its answer."""

    number: int
    words: Float32 | str
    """The samples of what was said, [N] at SAMPLE_RATE_HZ, or the typed text."""
    source: str
    """`microphone`, `file`, or `text`."""
    route: str | None
    """The route that was asked for; None for the one in use."""
    asked_at: float
    """When the turn was queued, in seconds of `time.perf_counter`."""
    events: "queue.SimpleQueue[Event] | None"
    """A queue that gets the turn's events, as all followers do."""
    abandoned: threading.Event = field(default_factory=threading.Event)
    """Set once the client has left. The turn is not stored then: its recording is the client's own
    file."""
    expected: tuple[str, ...] = ()
    """Phrases that are likelier than other words, beside the user's own."""
    learn: bool = True
    """Whether the audio is kept, to learn from."""
    may_keep: bool = True
    """Whether anything of it may be kept, as the user wanted it when it was said."""
    forgettings: int = 0
    """`Store.forgettings` when it was said."""
    longest_pause_seconds: float | None = None
    """The longest silence within what was said; None if that is not known."""
    replaces: int | None = None
    """Number of the turn that this one takes the place of, because its speech went on."""
    early: Early | None = None
    """Whether the turn is kept, if it was begun before that was certain."""
    only_hear: bool = False
    """Whether a client wants to know what was said, and no answer yet."""
    heard_before: bool = False
    """Whether the words may be those of an utterance that was only heard."""
    conversation: str = DEVICE
    """The conversation that the turn belongs to."""
    hands_over: Collection[str] = ()
    """The abilities in whose place the client, Home Assistant, does what it can."""
    withdrawn: threading.Event = field(default_factory=threading.Event)
    """Set once the turn is to be taken back, because its speech goes on."""

    @property
    def ended_at(self) -> float:
        """When the speech was known to have ended, in seconds of `time.perf_counter`."""
        return self.early.kept_at if self.early is not None else self.asked_at

    @property
    def told_number(self) -> int:
        """The number under which others know the turn; 0 as long as it is not kept."""
        if self.early is None:
            return self.number
        return self.early.number or 0

    @property
    def taken_back(self) -> bool:
        """Whether nothing of the turn stays."""
        return self.withdrawn.is_set() or (self.early is not None and self.early.dropped)


@dataclass(frozen=True)
class KeptTurn:
    """The result of storing a turn."""

    id: int | None = None
    """Number of the turn in the store; None if the turn is not stored yet."""
    utterance: str | None = None
    """Id of the turn's audio; None for a typed turn, and if audio is not kept."""
    warning: str | None = None
    """Why the turn is not stored yet; None if it is stored."""


@dataclass(frozen=True)
class TurnLog:
    """Stores turns and their audio."""

    store: Store
    keeps_audio: bool
    may_keep: Callable[[], bool] = lambda: True
    """Whether anything may be kept now."""
    served: Callable[[], int] = lambda: FIRST_USER
    """The user who is served now."""

    def keep(self, queued: QueuedTurn, turn: Turn) -> KeptTurn:
        """Store the turn, or store it later if another program holds the database. The reply was
        given already, so an error is returned as a warning and not raised. Nothing is stored
        unless the user lets it be."""
        if not self._may_store(queued):
            return KeptTurn()
        try:
            stored = self.store.later.do(
                lambda: self._add_turn(queued, turn), "a turn that was answered"
            )
        except AttuneError as error:
            logger.error("a turn was not stored: %s", error)
            return KeptTurn(warning=str(error))
        if stored is None:
            return KeptTurn(warning="; ".join(self.store.later.problems()) or _PUT_OFF)
        return KeptTurn(stored.id or None, stored.utterance)

    def _add_turn(self, queued: QueuedTurn, turn: Turn) -> Turn:
        """Store the turn, unless the user has changed their mind since it was put off."""
        if not self._may_store(queued):
            return turn
        utterance = turn.utterance or self._keep_audio(queued)
        return self.store.history.add_turn(replace(turn, utterance=utterance, served=self.served()))

    def _may_store(self, queued: QueuedTurn) -> bool:
        """Whether anything of a turn may be stored: it could when it was said, and it can now, and
        nothing was forgotten since."""
        same = queued.forgettings == self.store.forgettings
        return queued.may_keep and same and self.may_keep()

    def keep_utterance(self, queued: QueuedTurn) -> str | None:
        """Store the audio of a turn that is only heard; returns the id of the utterance, None if it
        is not kept. Never raises."""
        try:
            return self.store.later.do(
                lambda: self._keep_audio(queued), "what was said in a turn that was only heard"
            )
        except AttuneError as error:
            logger.error("the audio of a turn that was only heard is lost: %s", error)
            return None

    def take_back(self, turn: int | None, utterance: str | None) -> None:
        """Remove a turn and its audio from the store. Never raises: what stays is an answered turn
        like any other."""
        try:
            self.store.history.remove_turn(turn)
            stored = self.store.utterance(utterance) if utterance is not None else None
            if stored is not None:
                self.store.forget(stored.audio)
        except AttuneError as error:
            logger.error("a turn whose speech went on stays in the store: %s", error)

    def keeps_audio_of(self, queued: QueuedTurn) -> bool:
        """Whether the audio of a turn is stored."""
        learn = queued.early.learn if queued.early is not None else queued.learn
        may_store = self._may_store(queued)
        return self.keeps_audio and learn and may_store and not isinstance(queued.words, str)

    def keep_audio_or_tell(self, queued: QueuedTurn) -> None:
        """Store the audio of a turn that was not answered. Never raises."""
        try:
            self.store.later.do(
                lambda: self._keep_audio(queued), "what was said in a turn that was not answered"
            )
        except AttuneError as full:
            logger.error("the audio of an unanswered turn is lost: %s", full)
        except Exception:  # a defect here must not end the thread that answers all turns
            logger.exception("the audio of an unanswered turn is lost")

    def _keep_audio(self, queued: QueuedTurn) -> str | None:
        if isinstance(queued.words, str) or not self.keeps_audio_of(queued):
            return None
        return self.store.add_utterance(
            queued.words,
            queued.source,
            queued.longest_pause_seconds,
            served=self.served(),
        ).id
