"""Answers, one turn at a time in a thread of its own: words in, pieces of a reply out, as events.
Stores the turn afterwards.

Knows neither where speech comes from nor which models hear and answer.
"""

import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import cast

from engines.errors import AttuneError, TurnAbandoned
from engines.interfaces import LanguageModel
from engines.types import Float32, Segment, SoftTokens

from ..attention import Attention
from ..clients import Client
from ..clocks import REAL_TIME, Clocks
from ..events import Event, Events
from ..serving.lease import LoadedRoute, ModelLease
from ..store.records import Turn
from ..store.store import Store
from .clarification import SAY_AGAIN, answer_to_question, question
from .turn_log import QueuedTurn, TurnLog

logger = logging.getLogger(__name__)

_WAITING_TURNS = 32
_ROUND_SECONDS = 1.0
_STOPPING = "the daemon is stopping"
_QUESTION_STANDS_SECONDS = 60.0
"""For how long a yes or a no is taken for the answer to what was asked back."""


@dataclass(frozen=True)
class Manners:
    """How the conversation is held."""

    max_reply_tokens: int
    forget_after_seconds: float
    barge_in: bool
    keep_audio: bool
    max_reply_seconds: float = 60.0
    """Of processor time; what was said by then is the reply."""


@dataclass(frozen=True)
class _Doubted:
    """What the user was asked about."""

    utterance: str | None
    """None where audio is not kept."""
    words: str


class Conversation:
    """The queue of turns and the thread that answers them."""

    def __init__(
        self,
        serving: ModelLease,
        store: Store,
        events: Events,
        attention: Attention,
        manners: Manners,
        clocks: Clocks = REAL_TIME,
        alive: Callable[[], None] = lambda: None,
    ) -> None:
        """The thread starts at once. It calls `alive` at least every _ROUND_SECONDS that it does
        not wait for a model, and before each step of a reply."""
        self._alive = alive
        self._serving = serving
        self._store = store
        self._events = events
        self._attention = attention
        self._manners = manners
        self._clocks = clocks
        self._memory = TurnLog(store, manners.keep_audio)
        self._waiting: deque[QueuedTurn] = deque()
        self._changed = threading.Condition()
        """Guards what waits, how many turns there were, and whether there may be more."""
        self._count = 0
        self._doubted: _Doubted | None = None
        # Who comes back after the machine was suspended begins anew.
        self._last_end = clocks.elapsed()
        self._interrupted = threading.Event()
        self._closing = self._closed = False
        self._thread = threading.Thread(target=self._run, name="conversation", daemon=True)
        self._thread.start()

    # --- from other threads

    def check_route(self, route: str | None) -> None:
        """As `ModelLease.check_route`."""
        self._serving.check_route(route)

    def hear(
        self,
        segment: Segment,
        source: str = "microphone",
        wait: bool = False,
        route: str | None = None,
        events: "queue.SimpleQueue[Event] | None" = None,
        abandoned: threading.Event | None = None,
    ) -> int:
        """Answer what was said; returns the number of the turn at once. Its events also go to
        `events`, and end with `turn` or `turn_failed`. Whoever gives `abandoned` can `abandon` the
        turn by it.

        Where too many turns wait: with `wait`, stands still until there is room (a file can), else
        the oldest of them is stored without an answer, and says so: a microphone cannot wait, and
        what was said is never dropped silently.
        """
        turn = self._new_turn(segment.samples, source, route, events, abandoned)
        displaced = None
        with self._changed:
            if wait:
                self._changed.wait_for(
                    lambda: self._closed or turn.abandoned.is_set() or self._has_room
                )
            taken = not self._closed and not turn.abandoned.is_set()
            if taken:
                displaced = None if self._has_room else self._waiting.popleft()
                self._append(turn)
        if displaced is not None:
            self._leave(displaced, "too much was said at once to be answered")
        if not taken:
            self._attention.begin()  # as for every turn: its outcome ends it
            self._leave(turn, self._why_left(turn))
        return turn.number

    def ask(
        self,
        words: Float32 | str,
        source: str,
        route: str | None = None,
        client: Client | None = None,
    ) -> Generator[Event, None, None]:
        """Answer typed words, or samples ([N] at SAMPLE_RATE_HZ): the events of that turn, the last
        of which is `turn`.

        The turn is abandoned once `client` has left or the generator is closed. Raises AttuneError
        where the turn fails or too many wait already.
        """
        self._serving.check_route(route)
        events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        turn = self._new_turn(words, source, route, events, None)
        with self._changed:
            if self._closed:
                raise AttuneError(_STOPPING)
            if not self._has_room:
                raise AttuneError(
                    f"{_WAITING_TURNS} turns wait for an answer already; try again in a moment"
                )
            self._append(turn)
        try:
            with (client or Client()).telling(partial(self.abandon, turn.abandoned)):
                while True:
                    event = events.get()
                    if event["event"] == "turn_failed":
                        raise AttuneError(str(event["problem"]))
                    yield event
                    if event["event"] == "turn":
                        return
        finally:
            self.abandon(turn.abandoned)

    def abandon(self, abandoned: threading.Event) -> None:
        """Whoever gave `abandoned` with turns has left: those that wait are dropped, the one that
        is answered is ended after the step that it is at. What was said in them is not kept."""
        with self._changed:
            abandoned.set()
            dropped = [turn for turn in self._waiting if turn.abandoned is abandoned]
            for turn in dropped:
                self._waiting.remove(turn)
            self._changed.notify_all()
        for turn in dropped:
            self._leave(turn, self._why_left(turn))

    def interrupt(self) -> None:
        """Somebody began to speak: where manners say so, end the reply that is being given."""
        if self._manners.barge_in:
            self._interrupted.set()

    def stop_answering(self) -> None:
        """End the running reply, after the step that it is at; turns that wait, or come, are stored
        without an answer."""
        self._closing = True
        self._interrupted.set()

    def close(self) -> None:
        """As `stop_answering`; returns once the thread has ended. No turn is taken any more."""
        self.stop_answering()
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join()

    # --- in the thread

    def _new_turn(
        self,
        words: Float32 | str,
        source: str,
        route: str | None,
        events: "queue.SimpleQueue[Event] | None",
        abandoned: threading.Event | None,
    ) -> QueuedTurn:
        with self._changed:
            self._count += 1
            return QueuedTurn(
                self._count,
                words,
                source,
                route,
                time.perf_counter(),
                events,
                abandoned or threading.Event(),
            )

    @property
    def _has_room(self) -> bool:
        return len(self._waiting) < _WAITING_TURNS

    def _append(self, turn: QueuedTurn) -> None:
        """Have `turn` wait, with `_changed` held. Attention begins, and `_conclude` ends it."""
        self._attention.begin()
        self._waiting.append(turn)
        self._changed.notify_all()

    def _run(self) -> None:
        while (turn := self._next()) is not None:
            if self._closing:
                self._leave(turn, _STOPPING)
            else:
                self._take(turn)

    def _next(self) -> QueuedTurn | None:
        while True:
            self._alive()
            with self._changed:
                if not self._waiting and not self._closed:
                    self._changed.wait(_ROUND_SECONDS)
                if self._waiting:
                    self._changed.notify_all()
                    return self._waiting.popleft()
                if self._closed:
                    return None

    def _take(self, turn: QueuedTurn) -> None:
        try:
            with self._serving.held(turn.route) as (loaded, language_model):
                outcome = self._answer(turn, loaded, language_model)
        except TurnAbandoned:
            outcome = self._failure(turn, self._why_left(turn))
        except AttuneError as error:
            outcome = self._failure(turn, str(error))
        except Exception as error:
            # A defect in one turn must not take the voice from all the others.
            logger.exception("turn %d failed", turn.number)
            outcome = self._failure(
                turn, f"this turn failed: {error!r}; the daemon's log says more"
            )
        self._last_end = self._clocks.elapsed()
        self._conclude(turn, outcome)

    def _go_on(self, turn: QueuedTurn) -> None:
        """To be called between the bounded steps of a turn: a sign of life. Raises TurnAbandoned
        where nobody waits for the turn any more, or the daemon stops."""
        self._alive()
        if self._closing or turn.abandoned.is_set():
            raise TurnAbandoned

    def _answer(
        self, turn: QueuedTurn, loaded: LoadedRoute, language_model: LanguageModel
    ) -> Event:
        self._go_on(turn)
        quiet_seconds = self._clocks.elapsed() - self._last_end
        if quiet_seconds >= self._manners.forget_after_seconds:
            language_model.reset()
        self._interrupted.clear()
        heard = (
            turn.words
            if isinstance(turn.words, str)
            else loaded.route.hear(turn.words, partial(self._go_on, turn))
        )
        if isinstance(heard, str):
            self._publish(turn, {"event": "heard", "text": heard})
        soft = heard if isinstance(heard, SoftTokens) else None
        words = heard if isinstance(heard, str) else loaded.words_of(heard)
        doubted, self._doubted = self._doubted, None
        agreed = (
            answer_to_question(words)
            if doubted and quiet_seconds < _QUESTION_STANDS_SECONDS
            else None
        )
        unsure = loaded.asks_back and soft is not None and not soft.sure and agreed is None
        asks = unsure and bool(words.strip())
        if doubted and agreed == "yes":
            self._confirm(doubted)
            heard = doubted.words
        elif unsure and not asks:
            heard = ""  # nothing that could be asked about
        said = question(words) if asks else SAY_AGAIN if agreed == "no" else None
        reply, first_token_ms, interrupted = self._reply(turn, loaded, language_model, heard, said)
        reply_ms = 1000 * (time.perf_counter() - turn.asked_at)
        route = "text" if isinstance(turn.words, str) else loaded.route.name if soft else "cascade"
        generation = loaded.generation if soft else None
        now, sure = self._clocks.wall(), soft.sure if soft else None
        done = Turn(None, route, words, reply, first_token_ms, reply_ms, generation, now, sure)
        kept = self._memory.keep(turn, done)
        if asks:
            self._doubted = _Doubted(cast(str | None, kept["utterance"]), words)
        trust: Event = {
            "confidence": soft.confidence if soft else None,
            "sure": soft is None or soft.sure,
            "asked_back": asks,
        }
        return {"event": "turn", **kept, "interrupted": interrupted, **trust}

    def _confirm(self, doubted: _Doubted) -> None:
        """What the user agreed to have said is a label like any correction."""
        try:
            if doubted.utterance is not None:
                self._store.add_label(doubted.utterance, doubted.words, "corrected")
        except AttuneError as error:
            logger.error("what the user confirmed is not kept: %s", error)

    def _reply(
        self,
        turn: QueuedTurn,
        loaded: LoadedRoute,
        language_model: LanguageModel,
        heard: str | SoftTokens,
        said: str | None,
    ) -> tuple[str, float | None, bool]:
        """The reply (or `said` in its place), the milliseconds to its first piece, and whether it
        was cut short."""
        if said is None and not (heard.strip() if isinstance(heard, str) else len(heard.vectors)):
            return "", None, False  # a cough: there is nothing to answer
        pieces: list[str] = []
        first_token_ms = None
        answer = (piece for piece in (said or "",))
        if said is None:
            step = partial(self._go_on, turn)
            answer = self._serving.reply(
                loaded, language_model, heard, self._manners.max_reply_tokens, step
            )
        until, cut_short = self._clocks.processor() + self._manners.max_reply_seconds, False
        try:
            with closing(answer) as stream:
                for piece in stream:
                    if first_token_ms is None:
                        first_token_ms = 1000 * (time.perf_counter() - turn.asked_at)
                    pieces.append(piece)
                    self._publish(turn, {"event": "token", "text": piece})
                    cut_short = self._interrupted.is_set() or self._clocks.processor() >= until
                    if cut_short:
                        break
        except TurnAbandoned:
            if not pieces:
                raise
            cut_short = True  # what was said by then was said
        return "".join(pieces).strip(), first_token_ms, cut_short

    def _leave(self, turn: QueuedTurn, why: str) -> None:
        """What becomes of a turn that is not answered at all."""
        self._conclude(turn, self._failure(turn, why))

    def _why_left(self, turn: QueuedTurn) -> str:
        return "the client has left" if turn.abandoned.is_set() else _STOPPING

    def _failure(self, turn: QueuedTurn, error: str) -> Event:
        if turn.abandoned.is_set():
            logger.info("turn %d was not answered: %s", turn.number, error)
            return {"event": "turn_failed", "problem": error}
        logger.warning("turn %d was not answered: %s", turn.number, error)
        self._memory.keep_audio_or_tell(turn)
        kept = self._manners.keep_audio and not isinstance(turn.words, str)
        return {
            "event": "turn_failed",
            "problem": f"{error}; what was said is kept" if kept else error,
        }

    def _conclude(self, turn: QueuedTurn, outcome: Event) -> None:
        """The last event of every turn that waited."""
        self._attention.end()
        self._publish(turn, outcome)

    def _publish(self, turn: QueuedTurn, event: Event) -> None:
        event = {**event, "turn": turn.number, "source": turn.source}
        if turn.events is not None:
            turn.events.put(event)
        self._events.publish(event)
