"""Which source of sound the settings name; a microphone stays open while the daemon starts anew. Knows no speech."""

import logging
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from engines.types import Float32

from ..config import AudioSettings
from ..plain_text import expanded
from .microphone import Microphone
from .source import AudioSource, SourceStatus, WavSource

logger = logging.getLogger(__name__)


class Sources:
    """Lends the microphone, which goes on filling its queue from one taker to the next: what is said in between is not lost."""

    def __init__(self) -> None:
        self._microphone: Microphone | None = None
        self._device = ""

    def lend(self, audio: AudioSettings) -> AudioSource | None:
        """The recording or the microphone of `audio`; None where it names neither. Raises AttuneError where there is none."""
        if self._microphone is not None and (audio.source or audio.device != self._device):
            self.close()
        if audio.source == "none":
            return None
        if audio.source:
            return WavSource(expanded(Path(audio.source)), audio.speed)
        if self._microphone is None:
            self._microphone, self._device = Microphone(audio.device), audio.device
        return _Lent(self._microphone)

    def close(self) -> None:
        """Let go of the microphone."""
        microphone, self._microphone = self._microphone, None
        if microphone is not None:
            microphone.close()


class _Lent:
    """A source that outlives its taker: closing this ends what it yields, and leaves the source open."""

    def __init__(self, source: AudioSource) -> None:
        self._source = source
        self._returned = threading.Event()

    def chunks(self, wanted: Callable[[], int] = lambda: 1) -> Iterator[Float32]:
        for chunk in self._source.chunks(wanted):
            yield chunk
            if self._returned.is_set():
                return

    def status(self) -> SourceStatus:
        return self._source.status()

    def close(self) -> None:
        self._returned.set()
