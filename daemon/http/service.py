"""Serves HTTP's clients from the start on: what needs the models is refused until they are open."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

from engines.voices.catalogue import ListedVoice, list_voices

from ..attention import Attention
from ..config.settings import Settings
from ..conversation.end_of_turn import USUAL_SECONDS
from ..speaking.chosen_voice import voice_needs
from ..speaking.network_voice import NetworkVoice
from .application import make_application
from .offered import Offered, Places, Running
from .realtime.route import MOST_SESSIONS
from .server import HttpServer
from .tokens import Tokens, tokens_path
from .work import Work

_THREADS = 4
MOST_COMMANDS = 16


class HttpService:
    """The port, and what is behind it once the daemon is ready."""

    def __init__(
        self,
        stack: ExitStack,
        settings: Settings,
        voice: NetworkVoice,
        attention: Attention,
    ) -> None:
        """Serve at `http.address` of `settings` until `stack` is left, and say texts by `voice`."""
        self._settings = settings
        self._running: Running | None = None
        self._turned_away = False
        self._end_seconds: Callable[[], float] = lambda: USUAL_SECONDS
        threads = stack.enter_context(ThreadPoolExecutor(_THREADS, "http-work"))
        offered = Offered(
            settings=settings,
            limits=settings.segmenter.limits(),
            tokens=Tokens(tokens_path(settings.state_dir)),
            running=lambda: None if self._turned_away else self._running,
            voice=voice,
            voices=self._voices,
            hearing=Work(threads, attention),
            speaking=Work(threads, attention),
            end_seconds=lambda: self._end_seconds(),
            threads=threads,
            command_threads=stack.enter_context(ThreadPoolExecutor(MOST_COMMANDS, "http-command")),
            commands=Places(MOST_COMMANDS),
            sessions=Places(MOST_SESSIONS),
            started_unix_seconds=int(time.time()),
        )
        host, _, port = settings.http.address.rpartition(":")
        self.server = HttpServer(host.strip("[]"), int(port), make_application(offered))
        stack.callback(self.close)

    def open(self, running: Running, end_seconds: Callable[[], float]) -> None:
        """Let clients reach what runs by now. `end_seconds` returns the silence that ends a turn
        now."""
        self._end_seconds = end_seconds
        self._running = running

    @property
    def problem(self) -> str:
        """Why nothing is served; empty if it is."""
        return self.server.problem.text

    def _voices(self) -> Sequence[ListedVoice]:
        return list_voices(voice_needs(self._settings))

    def turn_away(self, turned_away: bool) -> None:
        """Take no more requests that need the models, or take them again."""
        self._turned_away = turned_away

    def close(self) -> None:
        """End all connections, and close the port. Further calls do nothing."""
        self._running = None
        self.server.close()
