"""Answers one turn: hears what was said, decides what follows, replies, and stores the turn.

Knows no queue and no client; `conversation/dialogue.py` has the rule.
"""

import logging
import threading
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from functools import partial

from engines.errors import AttuneError, TurnAbandoned
from engines.types import SoftTokens, Transcript

from ..clocks import Clocks
from ..config.settings import ConversationSettings
from ..events.turns import Heard, ReplyPiece, TurnAnswered, TurnEvent
from ..serving.lease import ModelLease
from ..store.records import Turn
from ..store.store import Store
from .dialogue import SAY_AGAIN, Answer, AskAgain, AskBack, Doubted, SayNothing, decide, question
from .turn_log import QueuedTurn, TurnLog

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Reply:
    text: str = ""
    first_token_ms: float | None = None
    """Milliseconds from the end of speech to the first piece; None if there is no reply."""
    cut_short: bool = False


class Answering:
    """Answers turns, one after another in one thread. Remembers the question that it asked the user
    last."""

    def __init__(
        self,
        store: Store,
        settings: ConversationSettings,
        log: TurnLog,
        clocks: Clocks,
        publish: Callable[[QueuedTurn, TurnEvent], None],
        go_on: Callable[[QueuedTurn], None],
    ) -> None:
        """Call `go_on` between the bounded steps of a turn; it raises TurnAbandoned if the turn is
        to end. Call `publish` with each event of a turn."""
        self._store = store
        self._settings = settings
        self._log = log
        self._clocks = clocks
        self._publish = publish
        self._go_on = go_on
        self._doubted: Doubted | None = None
        self._ended_at = clocks.elapsed()
        """When the last turn ended, in seconds that include time in suspension."""
        self.interrupted = threading.Event()
        """Set, from any thread, to end the current reply."""

    def turn_ended(self) -> None:
        """Note that the last turn ended now, answered or not."""
        self._ended_at = self._clocks.elapsed()

    def answer(self, turn: QueuedTurn, models: ModelLease) -> TurnAnswered:
        """Answer `turn` with the leased models and store it. Raises TurnAbandoned if `go_on` raises
        it before the first piece of the reply, and AttuneError if the models fail."""
        self._go_on(turn)
        quiet_seconds = self._clocks.elapsed() - self._ended_at
        if quiet_seconds >= self._settings.forget_after_seconds:
            models.forget()
        self.interrupted.clear()
        heard = (
            Transcript(turn.words)
            if isinstance(turn.words, str)
            else models.hear(turn.words, partial(self._go_on, turn), turn.expected)
        )
        if isinstance(heard, Transcript):
            self._publish(turn, Heard(turn=turn.number, source=turn.source, text=heard.text))
        words = models.words_of(heard)
        doubted, self._doubted = self._doubted, None
        move = decide(
            heard,
            words,
            asks_back=models.loaded.asks_back,
            doubted=doubted,
            quiet_seconds=quiet_seconds,
        )
        match move:
            case Answer(heard=meant, confirmed=confirmed):
                if confirmed is not None:
                    self._confirm(confirmed)
                reply = self._reply(turn, models, meant)
            case AskBack(words=asked):
                reply = self._say(turn, question(asked))
            case AskAgain():
                reply = self._say(turn, SAY_AGAIN)
            case SayNothing():
                reply = _Reply()
        answered = self._ended(turn, models, heard, words, reply, isinstance(move, AskBack))
        if isinstance(move, AskBack):
            self._doubted = Doubted(answered.utterance, words)
        return answered

    def _ended(
        self,
        turn: QueuedTurn,
        models: ModelLease,
        heard: Transcript | SoftTokens,
        words: str,
        reply: _Reply,
        asked_back: bool,
    ) -> TurnAnswered:
        """Store the turn, and return the event that tells how it went."""
        soft = heard if isinstance(heard, SoftTokens) else None
        done = Turn(
            utterance=None,
            route="text"
            if isinstance(turn.words, str)
            else models.loaded.route.name
            if soft
            else "cascade",
            heard=words,
            reply=reply.text,
            first_token_ms=reply.first_token_ms,
            reply_ms=_milliseconds_since(turn.asked_at),
            generation=models.loaded.generation if soft else None,
            created_at=self._clocks.wall(),
            sure=heard.sure if heard.confidence is not None else None,
        )
        kept = self._log.keep(turn, done)
        return TurnAnswered(
            turn=turn.number,
            source=turn.source,
            id=kept.id,
            utterance=kept.utterance,
            route=done.route,
            heard=done.heard,
            reply=done.reply,
            first_token_ms=done.first_token_ms,
            reply_ms=done.reply_ms,
            generation=done.generation,
            interrupted=reply.cut_short,
            confidence=heard.confidence,
            sure=heard.sure,
            asked_back=asked_back,
            warning=kept.warning,
        )

    def _confirm(self, doubted: Doubted) -> None:
        """Store the words that the user confirmed as a label, like any correction."""
        try:
            if doubted.utterance is not None:
                self._store.add_label(doubted.utterance, doubted.words, "corrected")
        except AttuneError as error:
            logger.error("the words that the user confirmed could not be stored: %s", error)

    def _say(self, turn: QueuedTurn, text: str) -> _Reply:
        """Say `text` in place of a reply."""
        first_token_ms = _milliseconds_since(turn.asked_at)
        self._publish(turn, ReplyPiece(turn=turn.number, source=turn.source, text=text))
        return _Reply(text, first_token_ms)

    def _reply(
        self, turn: QueuedTurn, models: ModelLease, heard: Transcript | SoftTokens
    ) -> _Reply:
        """Publish the language model's reply piece by piece, and return all of it."""
        pieces: list[str] = []
        first_token_ms, cut_short = None, False
        until = self._clocks.processor() + self._settings.max_reply_seconds
        step = partial(self._go_on, turn)
        try:
            with closing(models.reply(heard, self._settings.max_reply_tokens, step)) as stream:
                for piece in stream:
                    if first_token_ms is None:
                        first_token_ms = _milliseconds_since(turn.asked_at)
                    pieces.append(piece)
                    self._publish(
                        turn, ReplyPiece(turn=turn.number, source=turn.source, text=piece)
                    )
                    cut_short = self.interrupted.is_set() or self._clocks.processor() >= until
                    if cut_short:
                        break
        except TurnAbandoned:
            if not pieces:
                raise
            cut_short = True  # the pieces were published already
        return _Reply("".join(pieces).strip(), first_token_ms, cut_short)


def _milliseconds_since(began: float) -> float:
    return 1000 * (time.perf_counter() - began)
