"""What the daemon hears by its settings: the source, the thread that listens to it, and what became of both."""

import logging
from collections.abc import Callable
from dataclasses import asdict

from engines.audio.segmenter import Event as Noticed
from engines.audio.segmenter import Segmenter, SegmenterLimits
from engines.audio.vad import SileroVad
from engines.errors import AttuneError

from ..config import AudioSettings
from ..events import Event
from ..systemd import SignsOfLife
from .listener import Listener
from .sources import Sources

logger = logging.getLogger(__name__)

_LOOP = "listening"


class Ear:
    """The microphone, or the recording in its place. Without either the daemon answers commands."""

    def __init__(
        self,
        sources: Sources,
        audio: AudioSettings,
        limits: SegmenterLimits,
        noticed: Callable[[Noticed], None],
        life: SignsOfLife,
    ) -> None:
        """Raises AttuneError where a recording is named that cannot be heard."""
        self._life = life
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
            alive = life.watch(_LOOP)
            self._listener = Listener(source, SileroVad(), Segmenter(limits), noticed, self._ended, alive=alive)

    def start(self) -> None:
        """Begin to listen."""
        if self._listener is not None:
            self._listener.start()

    def stop(self) -> None:
        """What is being said is cut here and handed on."""
        if self._listener is not None:
            self._listener.stop()
            self._listener.join()
            self._life.leave(_LOOP)  # also where it had failed: what comes after it need not be deaf

    def status(self) -> Event:
        """What `attune status` says about it."""
        return asdict(self._listener.status()) if self._listener else {"state": "off", "problem": self._deaf_because}

    @property
    def state(self) -> str:
        """The same in a few words."""
        if self._listener is None:
            return f"deaf ({self._deaf_because})"
        about = self._listener.status()
        if about.state != "listening":
            return f"{about.state} {about.problem}".strip()
        return f"listening to {about.source.device}" + (f", which {about.source.problem}" if about.source.problem else "")

    def _ended(self) -> None:
        """A recording has an end. A source that failed for good leaves the daemon deaf: it shows no sign of life any more."""
        if self._listener is not None and self._listener.status().state != "failed":
            self._life.leave(_LOOP)
