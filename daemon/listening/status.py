"""The status of the audio input. Knows no device."""

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
    """When the device was connected, or lost, in seconds since the epoch."""
    dropped_chunks: int = 0
    """Number of chunks that were dropped because the listener did not read them in time."""
    reconnects: int = 0
    problem: str = ""
    """Why the device is not connected; empty while it is."""


@dataclass(frozen=True)
class ListenerStatus:
    """The state of the listener and of its source."""

    state: ListenerState
    problem: str
    """The last error, or why there is no source; empty if there is none."""
    source: SourceStatus | None = None
    """State of the source; None if there is none."""
    heard_seconds: float = 0.0
    """Length of the stream so far."""
    seconds_since_chunk: float = 0.0
    """Seconds since the last chunk was read."""
    failures: int = 0
    """Number of errors after which the listener went on."""
