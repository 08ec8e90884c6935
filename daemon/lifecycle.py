"""Runs a daemon until it is told to stop. A reload starts it anew with the settings read again.

The microphone and the socket for commands stay open during a reload, for what is said and asked
meanwhile. Knows no part of the daemon.
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
"""Seconds that a reload waits for turns to be answered before the settings are read."""


def keep_files_private() -> None:
    """From now on this process, and those that it starts, create files that only its own user can
    read: recordings, and what is computed from them."""
    os.umask(0o077)


def wishes_of_signals() -> "queue.SimpleQueue[Wish]":
    """Return a queue of what signals ask for from now on: SIGTERM and SIGINT to stop, SIGHUP to
    reload. A second signal to stop ends the process at once."""
    wishes: queue.SimpleQueue[Wish] = queue.SimpleQueue()

    def leave(number: int, _: FrameType | None) -> None:
        wishes.put("stop")
        signal.signal(number, signal.SIG_DFL)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, leave)
    if not sys.stdin.isatty():  # on a terminal SIGHUP means that the terminal is gone
        signal.signal(signal.SIGHUP, lambda *_: wishes.put("reload"))
    return wishes


class _StopNow(BaseException):
    """A signal to stop came while nothing is running yet that has to be ended in order."""


@contextmanager
def _stopping_at_once() -> Iterator[None]:
    """Let a signal to stop raise _StopNow until the block ends: opening the models takes longer
    than a stop may."""

    def leave(number: int, _: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        raise _StopNow

    if threading.current_thread() is not threading.main_thread():  # it handles no signals
        yield
        return
    before = {number: signal.signal(number, leave) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Wishes:
    """The stops and reloads that are wished for and not done yet. Any number of waiting reloads are
    one, and a stop goes before them."""

    def __init__(self, coming: "queue.SimpleQueue[Wish]") -> None:
        self._coming = coming
        self._stop = self._reload = False
        self._asking: list[Future[None]] = []
        self._lock = threading.Lock()

    def ask_for_reload(self) -> "Future[None]":
        """Wish for a reload. The future ends once the settings are accepted, or with AttuneError if
        they are refused."""
        asked: Future[None] = Future()
        with self._lock:
            self._asking.append(asked)
        self._coming.put("reload")
        return asked

    def next(self, seconds: float) -> Wish | None:
        """Wait up to `seconds` for a wish and return it, or None if there is none."""
        if not self.stop() and not self._reload:
            try:
                self._take(self._coming.get(timeout=seconds))
            except queue.Empty:
                return None
        return "stop" if self.stop() else "reload"

    def stop(self) -> bool:
        """Return whether a stop is wished for."""
        try:
            while True:
                self._take(self._coming.get_nowait())
        except queue.Empty:
            return self._stop

    def begin_reload(self) -> "list[Future[None]]":
        """Begin the reload that all wishes up to now share. Returns the futures of the clients that
        wait for its result."""
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
    """Run a daemon with the settings that `load` reads, until `wishes` says stop. Raises
    AttuneError if it cannot serve.

    If the settings of a reload are wrong, that is logged and told to the client that asked, and the
    old settings stay in use.
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
                        "the daemon cannot serve with the new settings, so the old ones stay in"
                        f" use: {error}"
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
    """Wait for a wish. Returns the settings to serve next, once the current turns are answered, or
    None to stop."""
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
