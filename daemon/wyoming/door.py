"""Opens the port for Wyoming's clients, at once: what they ask for waits until the models are
open."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import lru_cache, partial

from wyoming.info import Info

from engines.errors import AttuneError
from engines.voices.automatic import AUTO
from engines.voices.catalogue import list_voices
from engines.voices.voice import Voice
from engines.wake.detector import WakeDetector
from engines.wake.own_phrase import read_phrase
from engines.wake.words import OWN

from ..config.settings import Settings
from ..conversation.conversation import Conversation
from ..conversation.end_of_turn import USUAL_SECONDS
from ..speaking.chosen_voice import NONE, voice_needs
from ..spoken_turns import open_wake_word, own_phrase_path
from .about import info
from .network_voice import NetworkVoice
from .server import MOST_CLIENTS, WyomingServer
from .session import Offered

_PATIENCE_SECONDS = 120.0
"""Time that a client waits for the models at most."""


class WyomingDoor:
    """The port, and what is behind it once the daemon is ready."""

    def __init__(
        self,
        stack: ExitStack,
        settings: Settings,
        open_voice: Callable[[Settings, str | None], Voice],
    ) -> None:
        """Serve at `wyoming.address` of `settings` until `stack` is left. Raises AttuneError if the
        port cannot be opened."""
        self._settings = settings
        self._ready = threading.Event()
        self._conversation: Conversation | None = None
        self._end_seconds: Callable[[], float] = lambda: USUAL_SECONDS
        voice = NetworkVoice(partial(self._open_voice, open_voice))
        stack.callback(voice.close)
        threads = stack.enter_context(ThreadPoolExecutor(MOST_CLIENTS, "wyoming-work"))
        offered = Offered(
            info=lru_cache(maxsize=1)(self._info),
            conversation=self._wait_for_conversation,
            limits=settings.segmenter.limits(),
            end_seconds=lambda: self._end_seconds(),
            voice=voice,
            wake=self._open_wake_word,
            threads=threads,
        )
        host, _, port = settings.wyoming.address.rpartition(":")
        self.server = WyomingServer(host.strip("[]"), int(port), offered)
        stack.callback(self._close)

    def open(self, conversation: Conversation, end_seconds: Callable[[], float]) -> None:
        """Let clients reach the conversation. `end_seconds` returns the silence that ends a turn
        now."""
        self._conversation, self._end_seconds = conversation, end_seconds
        self._ready.set()

    def _close(self) -> None:
        self._ready.set()  # who waits for the models is told
        self.server.close()

    def _wait_for_conversation(self) -> Conversation:
        self._ready.wait(_PATIENCE_SECONDS)
        if self._conversation is None:
            raise AttuneError("the models are still being opened; try again in a moment")
        return self._conversation

    def _open_voice(
        self, open_voice: Callable[[Settings, str | None], Voice], name: str | None
    ) -> Voice:
        if name is None and self._settings.speaking.voice == NONE:
            name = AUTO  # the loudspeaker is silent, but a client asks for sound
        return open_voice(self._settings, name)

    def _open_wake_word(self) -> tuple[WakeDetector | None, str]:
        return open_wake_word(self._settings)[0], self._settings.wake.word

    def _info(self) -> Info:
        word: str = self._settings.wake.word
        phrase = ""
        if word == OWN:
            try:
                phrase = read_phrase(own_phrase_path(self._settings.state_dir)).text
            except AttuneError:
                word = NONE  # `attune doctor` says why
        return info(
            self._settings.engines.language,
            list_voices(voice_needs(self._settings)),
            word,
            phrase,
        )
