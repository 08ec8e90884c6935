"""Reads events that came through the control socket."""

from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError

from engines.errors import AttuneError
from engines.schema import first_problem

from .alarms import AlarmEnded, AlarmRings
from .enrolment import BadRow, Corrected, Enrolled, EnrolledAll, Enrolling
from .event import Event
from .learning import (
    AdaptationChanged,
    EncoderChanged,
    RolledBack,
    RoundPlanned,
    ServingChanged,
    ShadowEnded,
)
from .privacy import (
    Consented,
    Forgotten,
    KeptLabelled,
    KeptListed,
    KeptPlayed,
    KeysRotated,
    ToBeForgotten,
)
from .report import Why
from .service import Following, MetricsText, Reloading, Status
from .speaking import ReplySaid, Silenced, TextSaid
from .turns import (
    Alive,
    ClientLeft,
    Heard,
    HeardSoFar,
    Level,
    ModeChanged,
    RecordingPlayed,
    ReplyPiece,
    SegmentHeard,
    SpeechBegan,
    SpeechEnded,
    SpeechHeard,
    StreamEnded,
    ToolCalled,
    TurnAnswered,
    TurnFailed,
    TurnWithdrawn,
)
from .users import UserServed, UsersListed, UtterancesMoved
from .vocabulary import VocabularyListed
from .wake import Called, CallEnded, PhraseCompared, PhraseLearnt, TakeAsked, TakeRefused

AnyEvent = Annotated[
    AdaptationChanged
    | AlarmEnded
    | AlarmRings
    | Alive
    | BadRow
    | Called
    | CallEnded
    | ClientLeft
    | Corrected
    | EncoderChanged
    | Enrolled
    | EnrolledAll
    | Enrolling
    | Following
    | Heard
    | HeardSoFar
    | Level
    | ModeChanged
    | MetricsText
    | Consented
    | Forgotten
    | KeptLabelled
    | KeptListed
    | KeysRotated
    | KeptPlayed
    | ToBeForgotten
    | PhraseCompared
    | PhraseLearnt
    | RecordingPlayed
    | Reloading
    | ReplyPiece
    | ReplySaid
    | RolledBack
    | RoundPlanned
    | SegmentHeard
    | ServingChanged
    | ShadowEnded
    | Silenced
    | SpeechBegan
    | SpeechEnded
    | SpeechHeard
    | Status
    | StreamEnded
    | TakeAsked
    | TakeRefused
    | TextSaid
    | ToolCalled
    | TurnAnswered
    | TurnFailed
    | TurnWithdrawn
    | UserServed
    | UsersListed
    | UtterancesMoved
    | VocabularyListed
    | Why,
    Field(discriminator="event"),
]
_EVENTS: TypeAdapter[AnyEvent] = TypeAdapter(AnyEvent)


def read_event(message: dict[str, Any]) -> Event:
    """Read the event in a message of the daemon. Raises AttuneError if this release does not know
    it."""
    try:
        return _EVENTS.validate_python(message)
    except ValidationError as error:
        where, what = first_problem(error)
        raise AttuneError(
            f"the daemon sent an event that this command does not know ({where or 'event'}:"
            f" {what}); restart the daemon, so that both are of one release"
        ) from error
