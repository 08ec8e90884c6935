"""Lets nothing of the microphone through until somebody calls: by a wake word, or by a button.
After a reply the user may go on without calling. Knows no text and no model of a wake word.
"""

import math
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from engines.audio.vad import CHUNK_SAMPLES, SileroVad
from engines.types import SAMPLE_RATE_HZ, Float32

from .source import CHUNK_SECONDS, AudioSource
from .status import SourceStatus

CALLED_SECONDS = 8.0
"""Time after a call in which something has to be said."""
_BEFORE_SPEECH_SECONDS = 1.2
"""Sound before speech that a wake word's embeddings look back at."""
_AFTER_SPEECH_SECONDS = 0.8
_LEAST_PROBABILITY = 0.3
"""The probability of speech from which a wake word is listened for."""
_LONGEST_SINCE_SECONDS = 2.0


class Detector(Protocol):
    """Listens for a wake word."""

    def push(self, samples: Float32) -> float | None:
        """Take the next [n] samples. Returns for how many seconds, at their end, the wake word is
        over; None where it was not said."""
        ...

    def forget(self) -> None:
        """Begin anew: what comes next follows nothing."""
        ...


class WakeGate:
    """Whether what is said is for Attune. Safe to use from several threads."""

    def __init__(
        self,
        speaking: Callable[[], bool],
        answering: Callable[[], bool],
        follow_up_seconds: float,
        changed: Callable[[str | None], None] = lambda by: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Once it was called, the gate stays open for CALLED_SECONDS. It does not close while
        somebody is `speaking`; while what was said is being answered (`answering`) it stays open,
        and `follow_up_seconds` after that. `changed` is told by what somebody called, and None once
        the gate has closed."""
        self._speaking = speaking
        self._answering = answering
        self._follow_up_seconds = follow_up_seconds
        self._changed = changed
        self._clock = clock
        self._lock = threading.Lock()
        self._open_until = -math.inf
        self._is_open = False
        self._held_open = 0

    def call(self, by: str) -> None:
        """Open the gate: somebody calls by that wake word, or by a button."""
        with self._lock:
            self._open_until = self._clock() + CALLED_SECONDS
            self._is_open = True
        self._changed(by)

    def close(self) -> None:
        """Close the gate at once."""
        with self._lock:
            was_open, self._is_open = self._is_open, False
        if was_open:
            self._changed(None)

    def hold_open(self, held: bool) -> None:
        """Let everything through until this is taken back, without a call. Nests."""
        with self._lock:
            self._held_open += 1 if held else -1

    def look(self) -> bool:
        """Whether the gate is open now; closes it when its time is over."""
        with self._lock:
            if self._held_open:
                return True
            if not self._is_open:
                return False
            now = self._clock()
            if self._answering():
                self._open_until = max(self._open_until, now + self._follow_up_seconds)
            self._is_open = now < self._open_until or self._speaking()
            closed = not self._is_open
        if closed:
            self._changed(None)
        return not closed

    @property
    def is_open(self) -> bool:
        """Whether the gate was open when `look` was called last, or was opened since."""
        return self._is_open or bool(self._held_open)


@dataclass(frozen=True)
class WakePlan:
    """What somebody has to do before anything is heard."""

    gate: WakeGate
    word: str
    """The wake word, or BUTTON."""
    detector: Detector | None
    """What listens for the wake word; without one only a button calls."""
    phrase: str = ""
    """What the user calls a phrase of their own."""
    problem: str = ""
    """Why the wake word cannot be heard."""

    def apply(self, source: AudioSource) -> AudioSource:
        """A source that is silent until somebody calls."""
        return CalledSource(source, self.gate, self.word, self.detector)


class CalledSource:
    """An AudioSource that is silent until somebody calls: then it gives what `source` does, from
    the end of the wake word on."""

    def __init__(
        self, source: AudioSource, gate: WakeGate, name: str, detector: Detector | None
    ) -> None:
        """`detector` listens for the wake word `name`; without one only a button calls. Raises
        AttuneError where the model of voice activity detection is missing."""
        self._source = source
        self._gate = gate
        self._name = name
        self._detector = detector
        self._vad = SileroVad()
        self._late: deque[Float32] = deque()
        """Chunks that were said after the wake word, and are given late."""
        self._recent: deque[Float32] = deque(maxlen=round(_LONGEST_SINCE_SECONDS / CHUNK_SECONDS))
        self._unheard: deque[Float32] = deque(maxlen=round(_BEFORE_SPEECH_SECONDS / CHUNK_SECONDS))
        """The last chunks that the detector was not given."""
        self._listened = True
        """Whether the detector has had the sound before."""
        self._listens_for_chunks = 0
        """Chunks that the detector is still given, whatever they are."""

    @property
    def gives_late(self) -> bool:
        """Whether the next chunks were said some time ago."""
        return bool(self._late)

    def read(self, at_most: int) -> Float32 | None:
        """Return the next chunks; see `AudioSource`."""
        if self._late:
            return np.stack([self._late.popleft() for _ in range(min(at_most, len(self._late)))])
        chunks = self._source.read(at_most)
        if chunks is None or self._gate.look():
            self._recent.clear()
            self._unheard.clear()
            self._listened = False
            return chunks
        if self._detector is not None:
            self._listen(chunks)
        return np.zeros_like(chunks)

    def status(self) -> SourceStatus:
        """Return the state of the source; see `AudioSource`."""
        return self._source.status()

    def close(self) -> None:
        """End the stream; see `AudioSource`."""
        self._source.close()

    def _listen(self, chunks: Float32) -> None:
        """Look for the wake word, where anything is said at all."""
        assert self._detector is not None
        if not self._listened:
            self._detector.forget()  # the call before, which it has had no sound since
            self._listened, self._listens_for_chunks = True, 0
        self._recent.extend(chunks)
        if chunks.any():
            probable = max(self._vad.probabilities(chunks)) >= _LEAST_PROBABILITY
        else:
            self._vad.reset()
            probable = False
        if probable:
            self._listens_for_chunks = round(_AFTER_SPEECH_SECONDS / CHUNK_SECONDS)
        if not self._listens_for_chunks:
            self._unheard.extend(chunks)
            return
        self._listens_for_chunks = max(0, self._listens_for_chunks - len(chunks))
        given = np.concatenate([*self._unheard, *chunks])
        self._unheard.clear()
        since_seconds = self._detector.push(given)
        if since_seconds is None:
            return
        since = min(len(self._recent), math.ceil(since_seconds * SAMPLE_RATE_HZ / CHUNK_SAMPLES))
        self._late.extend(list(self._recent)[len(self._recent) - since :])
        self._listens_for_chunks = 0
        self._recent.clear()
        self._gate.call(self._name)
