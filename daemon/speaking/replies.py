"""Has the replies to spoken turns said aloud while they are written, and tells how each was
said."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from ..events.bus import Events
from ..events.event import Event
from ..events.pending_turns import PendingTurns
from ..events.speaking import ReplySaid
from ..events.turns import (
    ReplyPiece,
    SpeechBegan,
    SpeechEnded,
    TurnAnswered,
    TurnEvent,
    TurnFailed,
    TurnWithdrawn,
)
from ..events.wake import Called
from .speaker import Said, Speaker, Speech

WORKING_SECONDS = 2.0
"""Time without an answer after which a sound tells that Attune is at work, again and again."""
_SPOKEN = "microphone"
"""Source of the turns whose replies are said; others are read where they were typed."""


@dataclass(eq=False)
class _Reply:
    """The reply to one turn."""

    turn: int
    speech: Speech | None = None
    """None before its first piece."""
    first_piece_at: float = 0.0
    first_token_ms: float = 0.0


def say_replies(
    events: Events, speaker: Speaker, *, sounds: bool, called_first: bool = False
) -> Callable[[], None]:
    """Have `speaker` say each reply to a spoken turn, with short sounds in between if `sounds`. The
    voice is opened as soon as somebody begins to speak, or calls; `called_first` if somebody has to
    call before that. Returns the function that ends this."""
    replies: dict[int, _Reply] = {}
    working = _Working(lambda: None if speaker.speaking else speaker.play("working"))

    def take(event: Event) -> None:
        if isinstance(event, SpeechEnded) and sounds:
            working.begin(event.turn)
        if isinstance(event, SpeechBegan | Called):
            speaker.wake()
            if sounds and (isinstance(event, Called) or not called_first):
                speaker.play("listening")
        elif isinstance(event, TurnEvent) and event.source == _SPOKEN:
            take_turn(event)

    def take_turn(event: TurnEvent) -> None:
        if sounds and isinstance(event, ReplyPiece | TurnAnswered | TurnFailed | TurnWithdrawn):
            working.end(event.turn)
        match event:
            case ReplyPiece(text=text):
                reply = replies.setdefault(event.turn, _Reply(event.turn))
                if reply.speech is None:
                    reply.first_piece_at = time.monotonic()
                    reply.speech = speaker.begin(lambda said: tell(reply, said))
                reply.speech.push(text)
            case TurnAnswered() | TurnFailed():
                ended = replies.pop(event.turn, None)
                if isinstance(event, TurnAnswered) and ended is not None:
                    ended.first_token_ms = event.first_token_ms or 0.0
                if ended is not None and ended.speech is not None:
                    ended.speech.finish()
                elif sounds and not (isinstance(event, TurnAnswered) and event.heard):
                    speaker.play("not_understood")
            case _:
                pass

    def tell(reply: _Reply, said: Said) -> None:
        first_sound_ms = None
        if said.first_sound_at is not None:
            since_piece = said.first_sound_at - reply.first_piece_at
            first_sound_ms = reply.first_token_ms + 1000 * since_piece
        events.publish(
            ReplySaid(
                turn=reply.turn,
                source=_SPOKEN,
                seconds=said.seconds,
                first_sound_ms=first_sound_ms,
                stopped=said.stopped,
                problem=said.problem,
            )
        )

    unsubscribe = events.subscribe(Event, take)

    def end() -> None:
        unsubscribe()
        working.stop()

    return end


class _Working:
    """Tells again and again that a turn is worked at, as long as one is. Safe to use from several
    threads."""

    def __init__(self, tell: Callable[[], None]) -> None:
        self._tell = tell
        self._pending = PendingTurns()
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None

    def begin(self, turn: int) -> None:
        """Work at `turn` begins, unless its answer is there."""
        self._pending.begin(turn)
        if self._pending:
            self._wait()

    def end(self, turn: int) -> None:
        """Work at `turn` has ended."""
        self._pending.end(turn)
        if not self._pending:
            self.stop()

    def stop(self) -> None:
        """Tell nothing more of what is worked at now."""
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()

    def _wait(self) -> None:
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = threading.Timer(WORKING_SECONDS, self._still)
            self._timer.daemon = True
            self._timer.start()

    def _still(self) -> None:
        if self._pending:
            self._wait()
            self._tell()
