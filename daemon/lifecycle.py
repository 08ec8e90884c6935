"""Runs a daemon until it is told to stop, and anew by other settings when it is told to read them
again.

The microphone and the socket where commands come in stay open in between, for what is said and
asked then. Knows no part of the daemon.
"""

import logging
import os
import queue
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import replace
from types import FrameType
from typing import Literal

from engines.errors import AttuneError

from .app import App, Surroundings
from .config.settings import Settings
from .control.socket_file import hold_socket
from .listening.input import AudioSources
from .systemd import ServiceManager, Watchdog, given_socket

logger = logging.getLogger(__name__)

Wish = Literal["stop", "reload"]
_STATE_SECONDS = 5.0
_PATIENCE_SECONDS = 60.0
"""For a turn to be answered before the settings are read anew."""


def keep_files_private() -> None:
    """From now on this process, and those that it starts, create files that only its own user can
    read: recordings, and what is computed from them."""
    os.umask(0o077)


def wishes_of_signals() -> "queue.SimpleQueue[Wish]":
    """What SIGTERM and SIGINT (stop) and SIGHUP (reload) ask for from now on. A second signal to
    stop does not wait."""
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
    """Until this ends a signal to stop raises _StopNow: opening the models takes longer than a stop
    may."""

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


class _Wishes:
    """What is wished for and not done yet: any number of reloads that wait are one, and a stop goes
    before them."""

    def __init__(self, coming: "queue.SimpleQueue[Wish]") -> None:
        self._coming = coming
        self._stop = self._reload = False
        self._asking: list[Future[None]] = []
        self._lock = threading.Lock()

    def ask_for_reload(self) -> "Future[None]":
        """Wish for a reload. The result comes once the settings were accepted; it is AttuneError
        where they were refused."""
        asked: Future[None] = Future()
        with self._lock:
            self._asking.append(asked)
        self._coming.put("reload")
        return asked

    def next(self, seconds: float) -> Wish | None:
        """What is wished for, within `seconds`; None for nothing."""
        if not self.stop() and not self._reload:
            try:
                self._take(self._coming.get(timeout=seconds))
            except queue.Empty:
                return None
        return "stop" if self.stop() else "reload"

    def stop(self) -> bool:
        """Whether an end is wished for."""
        try:
            while True:
                self._take(self._coming.get_nowait())
        except queue.Empty:
            return self._stop

    def begin_reload(self) -> "list[Future[None]]":
        """Reload on behalf of all who wished so up to here; returns those who wait for how it
        ends."""
        with self._lock:
            self.stop()
            self._reload = False
            asking, self._asking = self._asking, []
        return asking

    def _take(self, wish: Wish) -> None:
        if wish == "stop":
            self._stop = True
        else:
            self._reload = True


def serve(
    load: Callable[[], Settings],
    wishes: "queue.SimpleQueue[Wish]",
    given: Surroundings | None = None,
    manager: ServiceManager | None = None,
) -> None:
    """Run a daemon by the settings that `load` reads, until `wishes` says stop. Raises AttuneError
    where it cannot serve.

    Settings that turn out wrong when they are read again are logged and told to who asked, and
    those from before go on.
    """
    manager = manager or ServiceManager()
    watchdog = Watchdog(manager.watchdog_seconds, manager.alive)
    waiting = _Wishes(wishes)
    settings, before, problem = load(), None, ""
    with suppress(_StopNow), ExitStack() as stack:
        sources = stack.enter_context(closing(AudioSources()))
        listening = given_socket() or stack.enter_context(hold_socket(settings.control.socket))
        surroundings = replace(
            given or Surroundings(),
            watchdog=watchdog,
            sources=sources,
            listening=listening,
            start_anew=waiting.ask_for_reload,
        )
        while not waiting.stop():
            with ExitStack() as running:
                try:
                    with _stopping_at_once():
                        app = running.enter_context(App(settings, surroundings, problem))
                except AttuneError as error:
                    if before is None:
                        raise
                    problem = (
                        "by the settings as they are now the daemon cannot serve, so the old ones"
                        f" go on: {error}"
                    )
                    logger.error("%s", problem)
                    settings, before = before, None
                    continue
                problem = ""
                manager.ready()
                read = _until_changed(load, waiting, manager, app)
                if read is None:
                    break
                if read.control.socket != settings.control.socket:
                    logger.warning(
                        "control.socket is read only at the start: %s is still listened on",
                        settings.control.socket,
                    )
                settings, before = read, settings
        manager.stopping()


def _until_changed(
    load: Callable[[], Settings], wishes: _Wishes, manager: ServiceManager, app: App
) -> Settings | None:
    """The settings that are to be served next, once what was being answered is; None to stop."""
    told = ""
    while True:
        if (state := app.state()) != told:
            told = state
            manager.state(told)
        wish = wishes.next(_STATE_SECONDS)
        if wish is None:
            continue
        if wish == "stop":
            return None
        manager.reloading()
        app.turn_away(_PATIENCE_SECONDS, hurry=wishes.stop)
        asking = wishes.begin_reload()
        if wishes.stop():
            _tell(asking, "the daemon is stopping")
            return None
        try:
            read = load()
        except AttuneError as error:
            app.settings_problem = f"the settings stay as they are: {error}"
            logger.error("%s", app.settings_problem)
            app.take_commands()
            _tell(asking, app.settings_problem)
            manager.ready()
        else:
            _tell(asking, "")
            return read


def _tell(asking: "list[Future[None]]", problem: str) -> None:
    for one in asking:
        if problem:
            one.set_exception(AttuneError(problem))
        else:
            one.set_result(None)
