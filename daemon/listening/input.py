"""Opens the audio input that the settings name, a microphone or a recording, and listens to it. A
microphone stays open while the daemon starts anew.
"""

import logging
import threading
from collections.abc import Callable
from pathlib import Path

from engines.audio.segmenter import Segmenter, SegmenterLimits, SegmentEvent
from engines.audio.vad import SileroVad
from engines.errors import AttuneError
from engines.types import Float32

from ..config.settings import AudioSettings
from ..plain_text import expanded
from ..systemd import Watchdog
from .echo import EchoPlan
from .level import LevelMeter, MeteredSource
from .listener import Listener
from .microphone import Microphone
from .source import AudioSource, WavSource
from .status import ListenerStatus, SourceStatus
from .wake import WakePlan

logger = logging.getLogger(__name__)

_LOOP = "listening"
_PROGRESS_SECONDS = 1.0
"""The sound after which what is being said is told, for those who read it live."""


class AudioSources:
    """Lends the microphone. It fills its queue while no listener has it, so that what is said in
    between is not lost."""

    def __init__(self) -> None:
        self._microphone: Microphone | None = None
        self._device = ""

    def lend(self, audio: AudioSettings) -> AudioSource | None:
        """Return the recording or the microphone of `audio`; None if it names neither. Raises
        AttuneError if it cannot be opened."""
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
        """Close the microphone."""
        microphone, self._microphone = self._microphone, None
        if microphone is not None:
            microphone.close()


class _Lent:
    """A source that outlives its listener: closing this ends the stream of one listener, and leaves
    the source open."""

    def __init__(self, source: AudioSource) -> None:
        self._source = source
        self._returned = threading.Event()

    def read(self, at_most: int) -> Float32 | None:
        return None if self._returned.is_set() else self._source.read(at_most)

    def status(self) -> SourceStatus:
        return self._source.status()

    def close(self) -> None:
        self._returned.set()


class AudioInput:
    """The microphone, or the recording in its place. Without either, the daemon only answers
    commands."""

    def __init__(
        self,
        sources: AudioSources,
        audio: AudioSettings,
        limits: SegmenterLimits,
        on_event: Callable[[SegmentEvent], None],
        watchdog: Watchdog,
        echo: EchoPlan,
        interrupt: Callable[[], None],
        wake: WakePlan | None = None,
    ) -> None:
        """Open the input. A microphone hears the loudspeaker as `echo` says, and only what `wake`
        lets through; `interrupt` is called when somebody speaks over a reply. Raises AttuneError if
        `audio` names a recording that cannot be read."""
        self._watchdog = watchdog
        self._segmenter = Segmenter(limits)
        if not audio.source:
            self._segmenter.progress_seconds = _PROGRESS_SECONDS
        self.meter = LevelMeter()
        """How loud the microphone is."""
        self._listener: Listener | None = None
        self._deaf_because = "audio.source is none"
        try:
            source = sources.lend(audio)
        except AttuneError as error:
            if audio.source:
                raise
            self._deaf_because = str(error)
            logger.warning("no microphone, so only commands are answered: %s", error)
            return
        if source is not None:
            alive = watchdog.watch(_LOOP)
            plan = EchoPlan(False, None) if audio.source else echo
            source, watch, reply_sounds = plan.apply(source, interrupt)
            source = MeteredSource(source, self.meter)
            if wake is not None and not audio.source:
                source = wake.apply(source)
            self._listener = Listener(
                source,
                SileroVad(),
                self._segmenter,
                on_event,
                self._ended,
                alive=alive,
                on_chunk=watch,
                in_a_hurry=reply_sounds,
            )

    def start(self) -> None:
        """Begin to listen."""
        if self._listener is not None:
            self._listener.start()

    def end_turns_after(self, end_seconds: float, early_seconds: float) -> None:
        """Let a silence of `end_seconds` end a turn from now on, and tell after `early_seconds`
        that it may have ended. May be called from any thread."""
        self._segmenter.end_silence_seconds = end_seconds
        self._segmenter.pause_seconds = early_seconds

    def end_turn(self) -> None:
        """End the turn that is being spoken at once. May be called from any thread."""
        self._segmenter.end_now()

    def stop(self) -> None:
        """End listening. A segment that is being spoken is cut here and handed on."""
        if self._listener is not None:
            self._listener.stop()
            self._listener.join()
            # Also after a failure: the listener that comes next may succeed.
            self._watchdog.leave(_LOOP)

    def status(self) -> ListenerStatus:
        """Return what `attune status` shows of the input."""
        if self._listener is None:
            return ListenerStatus("off", self._deaf_because)
        return self._listener.status()

    @property
    def state(self) -> str:
        """The status in a few words, for a service manager."""
        about = self.status()
        if about.state == "off":
            return f"not listening ({about.problem})"
        if about.source is None or about.state != "listening":
            return f"{about.state} {about.problem}".strip()
        return f"listening to {about.source.device}" + (
            f", which {about.source.problem}" if about.source.problem else ""
        )

    def _ended(self) -> None:
        """Stop watching the loop if a recording has ended. After a failure for good it stays
        watched: without its signs of life the daemon is restarted."""
        if self._listener is not None and self._listener.status().state != "failed":
            self._watchdog.leave(_LOOP)


logger = logging.getLogger(__name__)
