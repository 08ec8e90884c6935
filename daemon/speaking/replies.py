"""Has the replies to spoken turns said aloud while they are written, and tells how each was
said."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from ..events.bus import Events
from ..events.event import Event
from ..events.speaking import ReplySaid
from ..events.turns import ReplyPiece, SpeechBegan, TurnAnswered, TurnEvent, TurnFailed
from ..events.wake import Called
from .speaker import Said, Speaker, Speech

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

    def take(event: Event) -> None:
        if isinstance(event, SpeechBegan | Called):
            speaker.wake()
            if sounds and (isinstance(event, Called) or not called_first):
                speaker.play("listening")
        elif isinstance(event, TurnEvent) and event.source == _SPOKEN:
            take_turn(event)

    def take_turn(event: TurnEvent) -> None:
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

    return events.subscribe(Event, take)
