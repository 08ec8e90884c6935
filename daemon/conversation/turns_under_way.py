"""Whether somebody speaks into the microphone, and whether what they said is being answered."""

from collections.abc import Callable

from engines.audio.segmenter import SegmentEvent, SpeechCancelled, SpeechStarted
from engines.types import Segment

from ..events.bus import Events
from ..events.event import Event
from ..events.pending_turns import PendingTurns
from ..events.speaking import ReplySaid
from ..events.turns import SpeechEnded, TurnAnswered, TurnFailed, TurnWithdrawn


class TurnsUnderWay:
    """Takes the events of one microphone, in the listener's thread, and hands them on."""

    def __init__(
        self, noticed: Callable[[SegmentEvent], None], events: Events, *, speaks: bool
    ) -> None:
        """`noticed` is given every event. With `speaks` a turn is answered once its reply was said
        aloud."""
        self._noticed = noticed
        self._speaks = speaks
        self._pending = PendingTurns()
        self.speaking = False
        """Whether somebody speaks now."""
        self.end = events.subscribe(Event, self._take)
        """Ends following the events."""

    @property
    def answering(self) -> bool:
        """Whether a turn of the microphone is being answered."""
        return bool(self._pending)

    def noticed(self, event: SegmentEvent) -> None:
        """Take the next event of the segmenter."""
        if isinstance(event, SpeechStarted):
            self.speaking = True
        elif isinstance(event, Segment | SpeechCancelled):
            self.speaking = False
        self._noticed(event)

    def _take(self, event: Event) -> None:
        match event:
            case SpeechEnded(turn=turn):
                self._pending.begin(turn)
            case TurnAnswered(turn=turn, reply=reply) if not (reply and self._speaks):
                self._pending.end(turn)
            case ReplySaid(turn=turn) | TurnFailed(turn=turn) | TurnWithdrawn(turn=turn):
                self._pending.end(turn)
            case _:
                pass
