"""The events of speech and of turns, from the first sound to the end of the reply."""

from typing import Any, Literal

from pydantic import Field

from .event import Event, EventPart, is_empty


class SpeechBegan(Event):
    """A user began to speak into the microphone."""

    event: Literal["speech"] = "speech"


class Level(Event):
    """How loud the microphone is; only those who ask for it are told."""

    event: Literal["level"] = "level"
    db: float
    """Decibels below full scale."""


class SegmentHeard(Event):
    """A segment of speech in a recording that is played; its turn follows."""

    event: Literal["segment"] = "segment"
    start_seconds: float
    """Start of the segment, in seconds since the beginning of the recording."""
    seconds: float
    """Length of the segment."""


class TurnEvent(Event):
    """The base of all events of a turn."""

    turn: int
    """Number of the turn since the daemon started."""
    source: str
    """`microphone`, `file`, or `text`."""


class Heard(TurnEvent):
    """The words that the cascade heard, or that were typed."""

    event: Literal["heard"] = "heard"
    text: str
    doubtful: tuple[int, ...] = ()
    """The places of the words of `text`, from 0, that may be others."""


class SpeechHeard(TurnEvent):
    """The end of a turn that was only heard: what was said, for a client that asks for the answer
    later."""

    event: Literal["speech_heard"] = "speech_heard"
    text: str
    utterance: str | None
    """Id of the utterance; None if audio is not kept."""
    confidence: float | None
    sure: bool
    doubtful: tuple[int, ...] = ()
    """The places of the words of `text`, from 0, that may be others."""


class HeardSoFar(Event):
    """The words of somebody who is still speaking, in dictation. They may change as more is
    said."""

    event: Literal["heard_so_far"] = "heard_so_far"
    text: str


class SpeechEnded(Event):
    """A user has finished speaking, and the turn is taken up."""

    event: Literal["speech_ended"] = "speech_ended"
    turn: int
    silence_seconds: float = 0.0
    """The silence that was waited for until the speech was taken for ended."""


class ModeChanged(Event):
    """What is heard is used in another way from now on: the answer to `attune mode`."""

    event: Literal["mode"] = "mode"
    mode: str


class ReplyPiece(TurnEvent):
    """The next piece of a reply that is being written."""

    event: Literal["token"] = "token"
    text: str


class ToolCalled(TurnEvent):
    """The language model calls a tool of another program."""

    event: Literal["tool"] = "tool"
    server: str
    tool: str
    arguments: dict[str, Any]


class TurnSpan(EventPart):
    """A part of the work on a turn. The times are milliseconds from the end of speech: what was
    begun before that was certain has negative ones. One span may contain another."""

    name: str
    """`encode`, `read`, `rescore`, or `prefill`."""
    began_ms: float
    ended_ms: float


class HandedOver(EventPart):
    """Something that Home Assistant, who is the client, has to do."""

    name: str
    """Such as `HassTurnOn`."""
    slots: dict[str, Any]


class TurnAnswered(TurnEvent):
    """The last event of a turn that was answered."""

    event: Literal["turn"] = "turn"
    id: int | None
    """Number of the turn in the store; None if it is not stored yet."""
    utterance: str | None
    """Id of the stored audio; None for typed text, and if audio is not kept."""
    route: str
    """`cascade`, `aligned`, or `text`."""
    heard: str
    reply: str
    first_token_ms: float | None
    """Milliseconds from the end of speech to the first piece of the reply; None if there is no
    reply."""
    reply_ms: float
    """Milliseconds from the end of speech to the end of the reply."""
    generation: int | None
    """The generation that heard the turn; None on the cascade and for typed text."""
    interrupted: bool
    """Whether the reply was cut short."""
    confidence: float | None
    """Probability, 0 to 1, that the words are right; None on the cascade and for typed text."""
    sure: bool
    asked_back: bool
    """Whether the reply is the question `Did you say …?`."""
    mode: str = "assistant"
    """What was done with what was heard: `assistant`, `repeat`, or `dictate`, which has no
    reply."""
    ability: str | None = Field(None, exclude_if=is_empty)
    """The ability that answered; None if none did."""
    intents: tuple[HandedOver, ...] = Field((), exclude_if=lambda found: not found)
    """What the client has to do, if that is Home Assistant."""
    spans: tuple[TurnSpan, ...] = Field((), exclude_if=lambda found: not found)
    """What took the time."""
    warning: str | None = Field(None, exclude_if=is_empty)
    """Why the turn is not stored yet; None if it is stored."""


class TurnFailed(TurnEvent):
    """The last event of a turn that was not answered."""

    event: Literal["turn_failed"] = "turn_failed"
    problem: str


class TurnWithdrawn(TurnEvent):
    """The last event of a turn that was taken back, because its speech went on: what was said is
    answered as a whole, in a turn of its own. It may follow the turn's answer."""

    event: Literal["turn_withdrawn"] = "turn_withdrawn"


class RecordingPlayed(Event):
    """The last event of a recording that was played: all of it was heard and answered."""

    event: Literal["listened"] = "listened"
    heard_seconds: float
    segments: int
    problem: str
    """Why part of the recording could not be heard; empty if all of it was."""


class StreamEnded(Event):
    """A recording was played to its end; turns in it may still be waiting for their answer."""

    event: Literal["stream_ended"] = "stream_ended"


class ClientLeft(Event):
    """The client of a command has hung up. The event wakes the thread that waits for the next
    one."""

    event: Literal["left"] = "left"


class Alive(Event):
    """Nothing happened for a while, and the daemon is still at work."""

    event: Literal["alive"] = "alive"
