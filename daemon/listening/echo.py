"""Takes the echo of the loudspeaker out of what a microphone hears. Knows no speech and no text.

Where the echo canceller is not installed, the microphone hears nothing while the loudspeaker plays.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np

from engines.audio.vad import CHUNK_SAMPLES
from engines.types import SAMPLE_RATE_HZ, Float32

from .barge_in import BargeIn
from .echo_delay import EchoDelay
from .source import AudioSource
from .status import SourceStatus

logger = logging.getLogger(__name__)

ECHO_SECONDS = 1.0
"""Time after the last sound of the loudspeaker in which a room may still echo it."""
_DEAF_SECONDS = 0.4
"""The same, where all that is done about it is not to listen."""
_LEARN_SECONDS = 2.0
"""Sound that the canceller has to hear before it knows the room. Nothing else is heard meanwhile:
in simulated rooms, one of six first replies was taken for a speaker."""
_NEW_REPLY_SECONDS, _SETTLE_SECONDS, _MOSTLY_OTHERS = 1.0, 0.6, 0.2
"""After a silence, and when the delay of the echo has changed, the canceller takes a moment to
settle. In that moment only what is mostly something else than echo is heard: of which it leaves
this share of the power or more."""
_FAR_SECONDS = 0.02
"""A move of the echo that the canceller follows no sooner than it learns the room anew."""
_REMEMBERED, _MOST_LEFT = 0.997, 0.3
"""A canceller that leaves more than this share of the power is out of step, and the microphone is
deaf while something plays. The last ten seconds of sound count, so that whoever speaks over a reply
is noticed before."""
_STILL_ECHO = 0.004
"""The share of a chunk's power that the canceller may leave of an echo, 24 dB below it: such a
chunk counts as silence."""
_DRIFT = 2e-4
"""How far the clocks of a sound card and of the machine run apart, at most, as a share."""
_STEP_SECONDS = 0.008
"""How far the clocks may run apart before the reference is moved: the canceller has to learn its
echo anew after each move, and follows slow changes by itself."""
_LOST_SECONDS, _LOOK_SECONDS = 0.1, 2.0
"""If every chunk in a while comes later than it should by this, sound was lost before it."""


class Played(Protocol):
    """What the loudspeaker played."""

    def between(self, start: float, count: int) -> Float32:
        """[count] samples at SAMPLE_RATE_HZ from the time `start` on, by `time.monotonic`."""
        ...

    def sounded_since(self, start: float) -> bool:
        """Whether anything sounded at `start` or later."""
        ...


def load_canceller() -> Any:
    """Return an echo canceller for one stream; None if there is none for this machine."""
    try:
        from pywebrtc_audio import EchoCanceller
    except ImportError as error:
        logger.warning("no echo canceller (%s): nothing is heard while Attune speaks", error)
        return None
    return EchoCanceller(sample_rate=SAMPLE_RATE_HZ)


@dataclass(frozen=True)
class EchoPlan:
    """What is done about the echo of the loudspeaker."""

    barge_in: bool
    """Whether a user who begins to speak ends the reply that is being said."""
    played: Played | None
    """What the loudspeaker plays; None if its echo is left in what the microphone hears."""

    def apply(
        self, source: AudioSource, interrupt: Callable[[], None]
    ) -> tuple[AudioSource, Callable[[Float32, float], None], Callable[[], bool]]:
        """Return a source that gives what `source` does without the echo; the function that is to
        be called with each chunk of it and the probability that it is speech, which calls
        `interrupt` when somebody speaks over the reply; and one that tells whether a reply sounds,
        so that a chunk should not wait."""
        if self.played is None:
            return source, lambda chunk, probability: None, lambda: False
        clean, watch = EchoFreeSource(source, self.played, load_canceller()), BargeIn()

        def on_chunk(chunk: Float32, probability: float) -> None:
            if watch.push(chunk, probability, clean.echoes) and self.barge_in:
                interrupt()

        return clean, on_chunk, lambda: clean.echoes


def plan_echo(played: Played | None, barge_in: bool | Literal["auto"]) -> EchoPlan:
    """Plan for what `played` tells, None if nothing is played, and the setting `barge_in`."""
    can_cancel = played is not None and load_canceller() is not None
    leaves_echo = barge_in is True and not can_cancel
    return EchoPlan(can_cancel if barge_in == "auto" else barge_in, None if leaves_echo else played)


class EchoFreeSource:
    """An AudioSource without the echo of what was played. It costs nothing while nothing plays."""

    def __init__(
        self,
        source: AudioSource,
        played: Played,
        canceller: Any,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Clean what `source` gives by `canceller`, which has the methods `process(near, far)` and
        `reset()`; if that is None, give silence while something plays."""
        self._source = source
        self._played = played
        self._canceller = canceller
        self._stream_clock = _StreamClock(clock)
        self._delay = EchoDelay()
        self._learnt_samples = 0
        self._near_power = self._left_power = 0.0
        """Power that was heard while something sounded, and what the canceller left of it."""
        self._sounded_at = self._settles_from = float("-inf")
        """When something sounded last, and when the canceller had to settle last."""
        self.echoes = False
        """Whether an echo was taken out of the chunks that were read last."""

    def read(self, at_most: int) -> Float32 | None:
        """Return the next chunks; see `AudioSource`."""
        chunks = self._source.read(at_most)
        if chunks is None:
            return None
        began = self._stream_clock.advance(chunks.size)
        self.echoes = False
        if self._canceller is None:
            deaf = self._played.sounded_since(began - _DEAF_SECONDS)
            return np.zeros_like(chunks) if deaf else chunks
        if not self._played.sounded_since(began - ECHO_SECONDS):
            return chunks
        self.echoes = True
        near = chunks.reshape(-1)
        before = self._delay.seconds
        moved = self._delay.push(near, began, self._played.between)
        if abs(self._delay.seconds - before) > _FAR_SECONDS:
            self._canceller.reset()
            self._learnt_samples = 0
        far = self._played.between(began - self._delay.seconds, chunks.size)
        cleaned: Float32 = self._canceller.process(near, far)
        if moved or (far.any() and began - self._sounded_at > _NEW_REPLY_SECONDS):
            self._settles_from = began
        if far.any():
            self._sounded_at = began
        if far.any() and not self._takes_out_echo(near, cleaned):
            return np.zeros_like(chunks)
        if self._learnt_samples < _LEARN_SECONDS * SAMPLE_RATE_HZ:
            self._learnt_samples += int(np.count_nonzero(far))
            return np.zeros_like(chunks)
        settles = began - self._settles_from < _SETTLE_SECONDS
        if settles and np.sum(cleaned**2) < _MOSTLY_OTHERS * np.sum(near**2):
            return np.zeros_like(chunks)
        left, heard = cleaned.reshape(-1, CHUNK_SAMPLES), near.reshape(-1, CHUNK_SAMPLES)
        is_echo = np.sum(left**2, axis=1) < _STILL_ECHO * np.sum(heard**2, axis=1)
        return np.where(is_echo[:, None], np.float32(0.0), left)

    def _takes_out_echo(self, near: Float32, cleaned: Float32) -> bool:
        """Whether the canceller has worked in the last seconds in which something sounded. It does
        not if the device is far out of step, or is not the one that the microphone hears."""
        self._near_power = _REMEMBERED * self._near_power + float(np.sum(near**2))
        self._left_power = _REMEMBERED * self._left_power + float(np.sum(cleaned**2))
        return self._left_power < _MOST_LEFT * self._near_power

    def status(self) -> SourceStatus:
        """Return the state of the source; see `AudioSource`."""
        return self._source.status()

    def close(self) -> None:
        """End the stream; see `AudioSource`."""
        self._source.close()


class _StreamClock:
    """Tells when the samples of a live stream were heard, steadily.

    Chunks arrive late by a time that varies, never early. So the least late of them tells when the
    stream began. That time is moved on slowly, since the clocks drift apart, and at once where
    sound was lost.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._samples = 0
        self._began = float("inf")
        """The time of the first sample of the stream, as far as is known."""
        self._told = float("inf")
        """The same, as it is told: it moves seldom, and by whole samples."""
        self._looked_at = self._window_began = clock()
        self._latest_began = float("inf")
        """The same, by the chunks since `_window_began` alone."""

    def advance(self, samples: int) -> float:
        """Count `samples` that have just arrived, and return the time of the first of them."""
        now = self._clock()
        self._began += _DRIFT * (now - self._looked_at)
        self._looked_at = now
        first = self._samples
        self._samples += samples
        began = now - self._samples / SAMPLE_RATE_HZ
        self._began = min(self._began, began)
        if not abs(self._began - self._told) <= _STEP_SECONDS:
            self._told = round(self._began * SAMPLE_RATE_HZ) / SAMPLE_RATE_HZ
        self._latest_began = min(self._latest_began, began)
        if now - self._window_began > _LOOK_SECONDS:
            if self._latest_began - self._began > _LOST_SECONDS:
                self._began = self._latest_began
            self._window_began, self._latest_began = now, float("inf")
        return self._told + first / SAMPLE_RATE_HZ
