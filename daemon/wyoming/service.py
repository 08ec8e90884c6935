"""Serves Wyoming's clients from the start on: what they ask for waits until the models are open."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

from wyoming.info import Info

from engines.errors import AttuneError
from engines.voices.catalogue import list_voices
from engines.wake.detector import WakeDetector
from engines.wake.own_phrase import read_phrase
from engines.wake.words import OWN

from ..config.settings import Settings
from ..conversation.conversation import Conversation
from ..conversation.end_of_turn import USUAL_SECONDS
from ..speaking.chosen_voice import NONE, voice_needs
from ..speaking.network_voice import NetworkVoice
from ..spoken_turns import open_wake_word, own_phrase_path
from .about import info
from .server import MOST_CLIENTS, WyomingServer
from .session import Offered

_PATIENCE_SECONDS = 120.0
"""Time that a client waits for the models at most."""
_INFO_SECONDS = 20.0
"""Time for which what is offered is not looked up again: Home Assistant asks every half minute."""


class WyomingService:
    """The port, and what is behind it once the daemon is ready."""

    def __init__(
        self,
        stack: ExitStack,
        settings: Settings,
        voice: NetworkVoice,
    ) -> None:
        """Serve at `wyoming.address` of `settings` until `stack` is left, and say texts by
        `voice`."""
        self._settings = settings
        self._ready = threading.Event()
        self._conversation: Conversation | None = None
        self._end_seconds: Callable[[], float] = lambda: USUAL_SECONDS
        self._known: tuple[float, Info] | None = None
        """When what is offered was looked up, and what that is."""
        threads = stack.enter_context(ThreadPoolExecutor(MOST_CLIENTS, "wyoming-work"))
        offered = Offered(
            info=self._info,
            conversation=self._wait_for_conversation,
            limits=settings.segmenter.limits(),
            end_seconds=lambda: self._end_seconds(),
            voice=voice,
            wake=self._open_wake_word,
            threads=threads,
        )
        host, _, port = settings.wyoming.address.rpartition(":")
        self.server = WyomingServer(host.strip("[]"), int(port), offered, settings.wyoming.announce)
        stack.callback(self._close)

    def open(self, conversation: Conversation, end_seconds: Callable[[], float]) -> None:
        """Let clients reach the conversation. `end_seconds` returns the silence that ends a turn
        now."""
        self._conversation, self._end_seconds = conversation, end_seconds
        self._ready.set()

    @property
    def problem(self) -> str:
        """Why nothing is served; empty if it is."""
        return self.server.problem.text

    def _close(self) -> None:
        self._ready.set()  # who waits for the models is told
        self.server.close()

    def _wait_for_conversation(self) -> Conversation:
        self._ready.wait(_PATIENCE_SECONDS)
        if self._conversation is None:
            raise AttuneError("the models are still being opened; try again in a moment")
        return self._conversation

    def _open_wake_word(self) -> tuple[WakeDetector | None, str]:
        return open_wake_word(self._settings)[0], self._settings.wake.word

    def _info(self) -> Info:
        if self._known is None or time.monotonic() - self._known[0] > _INFO_SECONDS:
            self._known = time.monotonic(), self._look()
        return self._known[1]

    def _look(self) -> Info:
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
