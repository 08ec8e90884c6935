"""Sources of sound: the protocol of a source, and a source that plays files. Knows no speech."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Protocol

import numpy as np

from engines.audio.recordings import MAX_STREAM_SECONDS, check_audio, stream_audio
from engines.audio.vad import CHUNK_SAMPLES
from engines.open_file import OpenFile
from engines.types import SAMPLE_RATE_HZ, Float32

from .status import SourceStatus

CHUNK_SECONDS = CHUNK_SAMPLES / SAMPLE_RATE_HZ


class AudioSource(Protocol):
    """A stream of sound."""

    def read(self, at_most: int) -> Float32 | None:
        """Wait for the next 1 to `at_most` chunks and return them, [n, CHUNK_SAMPLES]; the array is
        the caller's. None once the stream has ended or is closed.

        A caller asks for as many chunks as it needs before it can do anything: a live source lets
        it sleep until they have arrived. A call after an error goes on with what comes next.
        """

    def status(self) -> SourceStatus:
        """Return the state of the device. May be called from any thread."""

    def close(self) -> None:
        """End the stream; a waiting `read` returns. May be called from any thread, and twice."""


class WavSource:
    """Recordings of any format, played one after another as one long stream."""

    def __init__(
        self,
        recordings: Path | OpenFile | Iterable[Path],
        speed: float = 1.0,
        pause_seconds: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Play `recordings`, each followed by `pause_seconds` of digital silence, `speed` times as
        fast as they were spoken.

        Speed 0 plays as fast as the chunks are read. An open file stays the caller's, who closes it
        once the stream has ended. Raises AttuneError if a file cannot be opened.
        """
        self._recordings: deque[Path | OpenFile] = deque(
            [recordings] if isinstance(recordings, Path | OpenFile) else recordings
        )
        for recording in self._recordings:
            check_audio(recording, MAX_STREAM_SECONDS)
        self._speed = speed
        self._pause_samples = round(pause_seconds * SAMPLE_RATE_HZ)
        self._clock = clock
        self._closed = threading.Event()
        self._playing = ""
        self._since_unix_seconds = time.time()
        self._chunks = rechunk(self._blocks())
        self._due: float | None = None
        """When the last chunk was due, by `clock`; None before the first."""

    def read(self, at_most: int) -> Float32 | None:
        """Return the next chunk, [1, CHUNK_SAMPLES]; see `AudioSource`. The last one is filled up
        with zeros.

        Raises AttuneError if a file is damaged further on. The next call plays the next file.
        """
        if self._due is None:
            self._due = self._clock()
        try:
            chunk = next(self._chunks, None)
        except BaseException:
            self._chunks = rechunk(self._blocks())  # a generator that has raised has ended
            raise
        if chunk is None:
            return None
        if self._speed > 0:
            # A chunk is due once all of it has been spoken. A late listener gets the chunks that it
            # missed at once; none is lost.
            self._due += CHUNK_SECONDS / self._speed
            self._closed.wait(max(0.0, self._due - self._clock()))
        return None if self._closed.is_set() else chunk[np.newaxis]

    def status(self) -> SourceStatus:
        """Return which recording is being played; see `AudioSource`."""
        return SourceStatus(self._playing, bool(self._playing), self._since_unix_seconds)

    def close(self) -> None:
        """End the stream; see `AudioSource`."""
        self._closed.set()

    def _blocks(self) -> Iterator[Float32]:
        while self._recordings:
            recording = self._recordings.popleft()
            name = recording.name if isinstance(recording, OpenFile) else str(recording)
            self._playing, self._since_unix_seconds = name, time.time()
            try:
                yield from stream_audio(recording, MAX_STREAM_SECONDS)
            finally:
                self._playing, self._since_unix_seconds = "", time.time()
            yield np.zeros(self._pause_samples, np.float32)


def rechunk(blocks: Iterable[Float32]) -> Iterator[Float32]:
    """Cut [n] blocks of any length into [CHUNK_SAMPLES] chunks. The last chunk is filled up with
    zeros."""
    waiting = np.zeros(0, np.float32)
    for block in blocks:
        waiting = np.concatenate([waiting, block])
        whole = len(waiting) // CHUNK_SAMPLES * CHUNK_SAMPLES
        yield from waiting[:whole].reshape(-1, CHUNK_SAMPLES)
        waiting = waiting[whole:]
    if len(waiting):
        yield np.pad(waiting, (0, CHUNK_SAMPLES - len(waiting)))
