"""Runs a daemon until it is told to stop, and anew by other settings when it is told to read them again.

The microphone and the socket where commands come in stay open in between, for what is said and asked then. Knows no part of the
daemon.
"""

import logging
import queue
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from types import FrameType
from typing import Literal

from engines.errors import AttuneError

from .app import App
from .config import Settings
from .control import hold_socket
from .service_manager import ServiceManager, SignsOfLife, given_socket
from .sources import Sources

logger = logging.getLogger(__name__)

Wish = Literal["stop", "reload"]
_STATE_SECONDS = 5.0
_PATIENCE_SECONDS = 60.0
"""For a turn to be answered before the settings are read anew."""


def wishes_of_signals() -> "queue.SimpleQueue[Wish]":
    """What SIGTERM and SIGINT (stop) and SIGHUP (reload) ask for from now on. A second signal to stop does not wait."""
    wishes: queue.SimpleQueue[Wish] = queue.SimpleQueue()

    def leave(number: int, _: FrameType | None) -> None:
        wishes.put("stop")
        signal.signal(number, signal.SIG_DFL)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, leave)
    if not sys.stdin.isatty():  # there it means that the terminal is gone
        signal.signal(signal.SIGHUP, lambda *_: wishes.put("reload"))
    return wishes


class _StopNow(BaseException):
    """A signal to stop came where nothing is going on yet that would have to be ended in order."""


@contextmanager
def _stopping_at_once() -> Iterator[None]:
    """Until this ends a signal to stop raises _StopNow: opening the models takes longer than a stop may."""

    def leave(number: int, _: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        raise _StopNow

    if threading.current_thread() is not threading.main_thread():  # where no signal is handled
        yield
        return
    before = {number: signal.signal(number, leave) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def serve(
    load: Callable[[], Settings],
    wishes: "queue.SimpleQueue[Wish]",
    start: Callable[..., App] = App,
    manager: ServiceManager | None = None,
) -> None:
    """Run a daemon by the settings that `load` reads, until `wishes` says stop. Raises AttuneError where it cannot serve.

    Settings that turn out wrong when they are read again are logged, and those from before go on.
    """
    manager = manager or ServiceManager()
    life = SignsOfLife(manager.watchdog_seconds, manager.alive)
    settings, before = load(), None
    with suppress(_StopNow), ExitStack() as stack:
        sources = stack.enter_context(closing(Sources()))
        listening = given_socket() or stack.enter_context(hold_socket(settings.control.socket))
        outlives = {"life": life, "sources": sources, "listening": listening, "start_anew": lambda: wishes.put("reload")}
        while True:
            with ExitStack() as running:
                try:
                    with _stopping_at_once():
                        app = running.enter_context(start(settings, **outlives))
                except AttuneError as error:
                    if before is None:
                        raise
                    logger.error("by the settings as they are now the daemon cannot serve, so the old ones go on: %s", error)
                    settings, before = before, None
                    continue
                manager.ready()
                read = _until_changed(load, wishes, manager, app)
                if read is None:
                    manager.stopping()
                    return
                if read.control.socket != settings.control.socket:
                    logger.warning("control.socket is read only at the start: %s is still listened on", settings.control.socket)
                settings, before = read, settings
                app.turn_away(_PATIENCE_SECONDS, hurry=lambda: not wishes.empty())


def _until_changed(
    load: Callable[[], Settings], wishes: "queue.SimpleQueue[Wish]", manager: ServiceManager, app: App
) -> Settings | None:
    """The settings that are to be served next; None to stop."""
    told = ""
    while True:
        if (state := app.state()) != told:
            told = state
            manager.state(told)
        try:
            wish = wishes.get(timeout=_STATE_SECONDS)
        except queue.Empty:
            continue
        if wish == "stop":
            return None
        manager.reloading()
        try:
            return load()
        except AttuneError as error:
            logger.error("the settings stay as they are: %s", error)
            manager.ready()
