"""Answers, one turn at a time in a thread of its own: words in, pieces of a reply out, as events. Stores the turn afterwards.

Knows neither where speech comes from nor which models hear and answer.
"""

import logging
import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import cast

from engines.errors import AttuneError
from engines.interfaces import LanguageModel
from engines.types import Float32, Segment, SoftTokens

from .asking_back import SAY_AGAIN, answer_to_question, question
from .attention import Attention
from .clocks import REAL_TIME, Clocks
from .events import Event, Events
from .records import Turn
from .serving import Ears, Serving
from .store import Store
from .turn_memory import TurnMemory, Waiting

logger = logging.getLogger(__name__)

_WAITING_TURNS = 32
_ROUND_SECONDS = 1.0
_QUESTION_STANDS_SECONDS = 60.0
"""For how long a yes or a no is taken for the answer to what was asked back."""


@dataclass(frozen=True)
class Manners:
    """How the conversation is held."""

    max_reply_tokens: int
    forget_after_seconds: float
    barge_in: bool
    keep_audio: bool


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
        serving: Serving,
        store: Store,
        events: Events,
        attention: Attention,
        manners: Manners,
        clocks: Clocks = REAL_TIME,
        alive: Callable[[], None] = lambda: None,
    ) -> None:
        """The thread starts at once, and calls `alive` at least every _ROUND_SECONDS that it does not wait for a model."""
        self._alive = alive
        self._serving = serving
        self._store, self._events, self._attention, self._manners, self._clocks = store, events, attention, manners, clocks
        self._memory = TurnMemory(store, manners.keep_audio)
        self._waiting: queue.Queue[Waiting | None] = queue.Queue(_WAITING_TURNS)
        self._lock = threading.Lock()
        self._count = 0
        self._doubted: _Doubted | None = None
        self._last_end = clocks.elapsed()  # who comes back after the machine was suspended begins anew
        self._interrupted = threading.Event()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="conversation", daemon=True)
        self._thread.start()

    # --- from other threads

    def check_route(self, route: str | None) -> None:
        """As `Serving.check_route`."""
        self._serving.check_route(route)

    def hear(
        self,
        segment: Segment,
        source: str = "microphone",
        wait: bool = False,
        route: str | None = None,
        events: "queue.SimpleQueue[Event] | None" = None,
    ) -> int:
        """Answer what was said; returns the number of the turn at once. Its events also go to `events`, and end with `turn` or
        `turn_failed`.

        Where too many turns wait: with `wait`, stands still until there is room (a file can), else the oldest of them is stored
        without an answer, and says so: a microphone cannot wait, and what was said is never dropped silently.
        """
        turn = self._new_turn(segment.samples, source, route, events)
        self._attention.begin()
        if wait:
            self._waiting.put(turn)
            return turn.number
        while True:
            try:
                self._waiting.put_nowait(turn)
                return turn.number
            except queue.Full:
                self._give_up("too much was said at once to be answered")

    def ask(self, words: Float32 | str, source: str, route: str | None = None) -> Iterator[Event]:
        """Answer typed words, or samples ([N] at SAMPLE_RATE_HZ): the events of that turn, the last of which is `turn`.

        Raises AttuneError where the turn fails or too many wait already.
        """
        self._serving.check_route(route)
        events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        turn = self._new_turn(words, source, route, events)
        self._attention.begin()
        try:
            self._waiting.put_nowait(turn)
        except queue.Full:
            self._attention.end()
            raise AttuneError(f"{_WAITING_TURNS} turns wait for an answer already; try again in a moment") from None
        while True:
            event = events.get()
            if event["event"] == "turn_failed":
                raise AttuneError(str(event["problem"]))
            yield event
            if event["event"] == "turn":
                return

    def interrupt(self) -> None:
        """Somebody began to speak: where manners say so, end the reply that is being given."""
        if self._manners.barge_in:
            self._interrupted.set()

    def close(self) -> None:
        """End the running reply; turns that wait are stored without an answer."""
        self._closing = True
        self._interrupted.set()
        while self._thread.is_alive():
            try:
                self._waiting.put(None, timeout=0.1)
                break
            except queue.Full:
                continue
        self._thread.join()

    # --- in the thread

    def _new_turn(
        self, words: Float32 | str, source: str, route: str | None, events: "queue.SimpleQueue[Event] | None"
    ) -> Waiting:
        with self._lock:
            self._count += 1
            return Waiting(self._count, words, source, route, time.perf_counter(), events)

    def _run(self) -> None:
        while (turn := self._next()) is not None and not self._closing:
            self._take(turn)
        while turn is not None:
            self._leave(turn, "the daemon is stopping")
            turn = None if self._waiting.empty() else self._waiting.get()

    def _next(self) -> Waiting | None:
        while True:
            self._alive()
            with suppress(queue.Empty):
                return self._waiting.get(timeout=_ROUND_SECONDS)

    def _take(self, turn: Waiting) -> None:
        try:
            with self._serving.held(turn.route) as (ears, language_model):
                outcome = self._answer(turn, ears, language_model)
        except AttuneError as error:
            outcome = self._failure(turn, str(error))
        except Exception as error:  # a defect in one turn must not take the voice from all the others
            logger.exception("turn %d failed", turn.number)
            outcome = self._failure(turn, f"this turn failed: {error!r}; the daemon's log says more")
        self._last_end = self._clocks.elapsed()
        self._attention.end()
        self._publish(turn, outcome)

    def _answer(self, turn: Waiting, ears: Ears, language_model: LanguageModel) -> Event:
        quiet_seconds = self._clocks.elapsed() - self._last_end
        if quiet_seconds >= self._manners.forget_after_seconds:
            language_model.reset()
        self._interrupted.clear()
        heard = turn.words if isinstance(turn.words, str) else ears.route.hear(turn.words)
        if isinstance(heard, str):
            self._publish(turn, {"event": "heard", "text": heard})
        soft = heard if isinstance(heard, SoftTokens) else None
        words = heard if isinstance(heard, str) else ears.words_of(heard)
        doubted, self._doubted = self._doubted, None
        agreed = answer_to_question(words) if doubted and quiet_seconds < _QUESTION_STANDS_SECONDS else None
        unsure = ears.asks_back and soft is not None and not soft.sure and agreed is None
        asks = unsure and bool(words.strip())
        if doubted and agreed == "yes":
            self._confirm(doubted)
            heard = doubted.words
        elif unsure and not asks:
            heard = ""  # nothing that could be asked about
        said = question(words) if asks else SAY_AGAIN if agreed == "no" else None
        reply, first_token_ms, interrupted = self._reply(turn, ears, language_model, heard, said)
        reply_ms = 1000 * (time.perf_counter() - turn.asked_at)
        route = "text" if isinstance(turn.words, str) else ears.route.name if soft else "cascade"
        generation = ears.generation if soft else None
        now, sure = self._clocks.wall(), soft.sure if soft else None
        done = Turn(None, route, words, reply, first_token_ms, reply_ms, generation, now, sure)
        kept = self._memory.keep(turn, done)
        if asks:
            self._doubted = _Doubted(cast(str | None, kept["utterance"]), words)
        trust: Event = {"confidence": soft.confidence if soft else None, "sure": soft is None or soft.sure, "asked_back": asks}
        return {"event": "turn", **kept, "interrupted": interrupted, **trust}

    def _confirm(self, doubted: _Doubted) -> None:
        """What the user agreed to have said is a label like any correction."""
        try:
            if doubted.utterance is not None:
                self._store.add_label(doubted.utterance, doubted.words, "corrected")
        except AttuneError as error:
            logger.error("what the user confirmed is not kept: %s", error)

    def _reply(
        self, turn: Waiting, ears: Ears, language_model: LanguageModel, heard: str | SoftTokens, said: str | None
    ) -> tuple[str, float | None, bool]:
        """The reply (or `said` in its place), the milliseconds to its first piece, and whether it was cut short."""
        if said is None and not (heard.strip() if isinstance(heard, str) else len(heard.vectors)):
            return "", None, False  # a cough: there is nothing to answer
        pieces: list[str] = []
        first_token_ms = None
        answer = (piece for piece in (said or "",))
        if said is None:
            answer = self._serving.reply(ears, language_model, heard, self._manners.max_reply_tokens)
        with closing(answer) as stream:
            for piece in stream:
                self._alive()
                if first_token_ms is None:
                    first_token_ms = 1000 * (time.perf_counter() - turn.asked_at)
                pieces.append(piece)
                self._publish(turn, {"event": "token", "text": piece})
                if self._interrupted.is_set() or self._closing:
                    return "".join(pieces).strip(), first_token_ms, True
        return "".join(pieces).strip(), first_token_ms, False

    def _give_up(self, why: str) -> None:
        try:
            oldest = self._waiting.get_nowait()
        except queue.Empty:
            return
        if oldest is not None:
            self._leave(oldest, why)

    def _leave(self, turn: Waiting, why: str) -> None:
        outcome = self._failure(turn, f"{why}; what was said is kept" if self._manners.keep_audio else why)
        self._attention.end()
        self._publish(turn, outcome)

    def _failure(self, turn: Waiting, error: str) -> Event:
        logger.warning("turn %d was not answered: %s", turn.number, error)
        self._memory.keep_audio_or_tell(turn)
        return {"event": "turn_failed", "problem": error}

    def _publish(self, turn: Waiting, event: Event) -> None:
        event = {**event, "turn": turn.number, "source": turn.source}
        if turn.events is not None:
            turn.events.put(event)
        self._events.publish(event)
