"""Says texts for clients on the network: each into a stream of its own, clause by clause while the
text comes."""

import threading
from collections.abc import Callable

import numpy as np

from engines.errors import AttuneError
from engines.types import Float32
from engines.voices.automatic import AUTO
from engines.voices.catalogue import list_voices
from engines.voices.voice import Voice

from ..attention import Attention
from ..config.settings import Settings
from .chosen_voice import NONE, voice_needs
from .clip import clip

IDLE_SECONDS = 60.0


def network_voice(
    settings: Settings, open_voice: Callable[[Settings, str | None], Voice], attention: Attention
) -> "NetworkVoice":
    """The voice for clients, with `open_voice` to open the one that they name."""

    def opened(name: str | None, speed: float | None) -> Voice:
        speaking = settings.speaking
        if name is None and speaking.voice == NONE:
            name = AUTO  # the loudspeaker is silent, but a client asks for sound
        given = speaking if speed is None else speaking.model_copy(update={"speed": speed})
        return open_voice(settings.model_copy(update={"speaking": given}), name)

    def check(name: str | None) -> None:
        ready = [voice.name for voice in list_voices(voice_needs(settings)) if not voice.missing]
        if name not in (None, AUTO, settings.speaking.voice, *ready):
            raise AttuneError(f"no voice is called {name!r}, or it is not ready")

    return NetworkVoice(opened, check, attention)


class NetworkVoice:
    """Keeps the voice open that was used last, as long as it is used. Safe to use from several
    threads."""

    def __init__(
        self,
        open_voice: Callable[[str | None, float | None], Voice],
        check: Callable[[str | None], None],
        attention: Attention,
    ) -> None:
        """`open_voice` opens the voice of that name, or the usual one, at that speed, or the usual
        one; `check` raises AttuneError
        if there is none of that name. While a clause is computed, somebody needs the machine."""
        self._open_voice = open_voice
        self._check = check
        self._attention = attention
        self._lock = threading.Lock()
        self._voice: Voice | None = None
        self._asked_for: tuple[str | None, float | None] = (None, None)
        self._timer: threading.Timer | None = None

    def speak(
        self, clause: str, name: str | None, speed: float | None = None
    ) -> tuple[int, Float32]:
        """The sample rate and the [n] samples of one clause, in the voice `name` or the usual one,
        `speed` times as fast as that speaks by itself. Raises AttuneError if there is no voice, or
        it fails."""
        self._check(name)
        with self._lock:
            self._stop_timer()
            self._attention.begin()
            try:
                if self._voice is None or (name, speed) != self._asked_for:
                    self._close()
                    self._voice, self._asked_for = self._open_voice(name, speed), (name, speed)
                voice = self._voice
                return voice.rate_hz, clip(voice.speak(clause), voice.rate_hz, clause)
            except BaseException:
                self._close()  # which may have been what failed
                raise
            finally:
                self._attention.end()
                if self._voice is not None:
                    self._timer = threading.Timer(IDLE_SECONDS, self.close)
                    self._timer.daemon = True
                    self._timer.start()

    def close(self) -> None:
        """Close the voice, also while it computes; the next clause opens it again."""
        if (voice := self._voice) is not None:
            voice.close()
        with self._lock:
            self._stop_timer()
            self._close()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _close(self) -> None:
        voice, self._voice = self._voice, None
        if voice is not None:
            voice.close()


def as_pcm(samples: Float32) -> bytes:
    """[n] samples as 16-bit little-endian bytes."""
    return bytes((32767 * np.clip(samples, -1.0, 1.0)).astype("<i2").tobytes())
