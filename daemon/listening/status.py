"""What is told of the audio input. Knows no device."""

from dataclasses import dataclass
from typing import Literal

ListenerState = Literal["off", "new", "listening", "ended", "failed"]


@dataclass(frozen=True)
class SourceStatus:
    """The state of a microphone, or of the recording in its place."""

    device: str
    """The name of the device or file."""
    connected: bool
    since_unix_seconds: float
    """When it was connected, or lost."""
    dropped_chunks: int = 0
    """Chunks that were thrown away because nobody took them in time."""
    reconnects: int = 0
    problem: str = ""
    """Why it is not connected; empty while it is."""


@dataclass(frozen=True)
class ListenerStatus:
    """How listening goes."""

    state: ListenerState
    problem: str
    """The last error, or why nothing is listened to; empty where there is none."""
    source: SourceStatus | None = None
    """None where nothing is listened to."""
    heard_seconds: float = 0.0
    """Length of the stream so far."""
    seconds_since_chunk: float = 0.0
    """How long ago the last chunk was taken."""
    failures: int = 0
    """Errors that the listener went on after."""
