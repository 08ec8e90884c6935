"""A whole daemon in this process, a follower of its events, and a client."""

import queue
import threading
from contextlib import suppress
from typing import Any

from daemon.app import App, Surroundings
from daemon.client.socket_client import request
from daemon.config.settings import Settings
from daemon.control.server import Message
from engines.errors import AttuneError
from tests.support.consent import agree

PATIENCE_SECONDS = 120


class FollowedDaemon:
    """Starts with `start`; `app` ends it."""

    def __init__(self, settings: Settings, surroundings: Surroundings) -> None:
        self.settings = settings
        self.app = App(settings, surroundings)
        self.events: queue.SimpleQueue[Message] = queue.SimpleQueue()

    def start(self) -> None:
        agree(self.settings.state_dir)
        self.app.__enter__()
        threading.Thread(target=self._follow, daemon=True).start()
        assert self.next("following")

    def do(self, command: str, **arguments: Any) -> list[Message]:
        """The events of a command."""
        return list(request(self.settings.control.socket, {"command": command, **arguments}, 120))

    def next(self, *kinds: str) -> Message:
        """The next event of one of `kinds`."""
        while (event := self.events.get(timeout=PATIENCE_SECONDS))["event"] not in kinds:
            pass
        return event

    def _follow(self) -> None:
        with suppress(AttuneError):  # the daemon ends before its follower
            for event in request(self.settings.control.socket, {"command": "events"}, None):
                self.events.put(event)
