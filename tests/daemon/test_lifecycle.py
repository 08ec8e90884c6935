"""A daemon from its start to its end, told what to do by signals, reading its settings again
without losing a turn."""

import os
import queue
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from daemon.app import Surroundings
from daemon.client.socket_client import request
from daemon.config.settings import AudioSettings, Settings
from daemon.lifecycle import Wish, serve
from daemon.listening.echo import EchoPlan
from daemon.listening.input import AudioInput
from daemon.listening.source import AudioSource
from daemon.serving.models import ServingModels
from daemon.systemd import ServiceManager, Watchdog
from engines.audio.segmenter import SegmenterLimits
from engines.errors import AttuneError
from tests.daemon.listening.test_listener import ScriptedSource
from tests.support.fake_child import eventually
from tests.support.fakes import EchoLanguageModel, fake_models
from tests.support.running_daemon import folder, make_settings

__all__ = ["folder"]


class Running:
    """A daemon in a thread, its settings, and what its service manager was told."""

    def __init__(
        self, folder: Path, open_models: Callable[[Settings], ServingModels] = fake_models
    ) -> None:
        self.settings = make_settings(folder)
        self.problem = ""
        self.loaded = 0
        self.wishes: queue.SimpleQueue[Wish] = queue.SimpleQueue()
        self._end = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._end.bind(str(folder / "notify"))
        self._end.settimeout(120)
        manager = ServiceManager(
            {"NOTIFY_SOCKET": str(folder / "notify"), "WATCHDOG_USEC": "600000"}
        )
        given = Surroundings(open_models=open_models)
        self._thread = threading.Thread(
            target=serve, args=(self._load, self.wishes, given, manager), daemon=True
        )
        self._thread.start()

    def _load(self) -> Settings:
        self.loaded += 1
        if self.problem:
            raise AttuneError(self.problem)
        return self.settings

    def told(self, beginning: str) -> str:
        """The next thing that is told and begins so; signs of life and states may come
        between."""
        while True:
            message = self._end.recv(1000).decode()
            if message.startswith(beginning):
                return message

    def ask(self, text: str) -> str:
        return str(
            list(request(self.settings.control.socket, {"command": "ask", "text": text}, 120))[-1][
                "reply"
            ]
        )

    def stop(self) -> None:
        self.wishes.put("stop")
        self._thread.join(120)
        assert not self._thread.is_alive()
        self._end.close()


@pytest.fixture
def running(folder: Path) -> Iterator[Running]:
    daemon = Running(folder)
    yield daemon
    daemon.stop()


def test_it_is_ready_says_what_it_does_lives_and_stops(folder: Path) -> None:
    daemon = Running(folder)
    daemon.told("READY=1")
    assert (
        daemon.told("STATUS=")
        == "STATUS=not listening (audio.source is none); cascade route; learning: waiting"
    )
    assert daemon.ask("hello") == "0 hello"
    for _ in range(3):
        daemon.told("WATCHDOG=1")
    daemon.wishes.put("stop")
    daemon.told("STOPPING=1")
    daemon.stop()
    assert not daemon.settings.control.socket.exists()


def test_settings_are_read_again_and_nobody_who_asks_meanwhile_is_turned_away(
    running: Running, folder: Path
) -> None:
    running.told("READY=1")
    answers: list[str] = []
    asking = threading.Thread(
        target=lambda: answers.extend(running.ask(f"number {number}") for number in range(40))
    )
    asking.start()
    for words in ("first", "second"):
        running.settings = make_settings(folder, conversation__system_prompt=words)
        running.wishes.put("reload")
        running.told("RELOADING=1")
        running.told("READY=1")
    asking.join(120)
    assert [answer.partition(" ")[2] for answer in answers] == [
        f"number {number}" for number in range(40)
    ]


def test_a_command_has_the_settings_read_again_too(running: Running, folder: Path) -> None:
    running.told("READY=1")
    running.settings = make_settings(folder, conversation__max_reply_tokens=1)
    assert list(request(running.settings.control.socket, {"command": "reload"}, 120)) == [
        {"event": "reloading"}
    ]
    running.told("READY=1")
    assert running.ask("three more words") == "0"


def test_life_goes_on_where_a_source_that_failed_is_heard_no_more(folder: Path) -> None:
    class Broken:
        def lend(self, audio: AudioSettings) -> AudioSource:
            return ScriptedSource([OSError("it broke")] * 20)

    told: list[str] = []
    watchdog = Watchdog(0.0, lambda: told.append("alive"))
    conversation = watchdog.watch("conversation")
    settings = make_settings(folder, audio__source=os.devnull)
    broken: Any = Broken()
    audio_input = AudioInput(
        broken,
        settings.audio,
        SegmenterLimits(),
        lambda noticed: None,
        watchdog,
        EchoPlan(False, None),
        lambda: None,
    )
    audio_input.start()
    assert eventually(lambda: audio_input.status().state == "failed")
    conversation()
    assert told == [], "a daemon that went deaf shows no sign of life"
    audio_input.stop()
    conversation()
    assert told == ["alive"]


def test_a_command_says_that_settings_are_refused_and_the_old_ones_go_on(
    running: Running, folder: Path
) -> None:
    running.told("READY=1")
    socket = running.settings.control.socket
    following = request(socket, {"command": "events"}, 120)
    next(following)
    running.problem = "unknown configuration key odd"
    with pytest.raises(
        AttuneError, match="the settings stay as they are: unknown configuration key odd"
    ):
        list(request(socket, {"command": "reload"}, 120))
    running.told("READY=1")
    assert running.ask("still here").endswith("still here")
    assert (
        next(event for event in following if event["event"] == "turn")["heard"] == "still here"
    ), "who followed still does"
    [status] = request(socket, {"command": "status"}, 120)
    assert "unknown configuration key odd" in str(status["problems"])
    running.problem = ""
    list(request(socket, {"command": "reload"}, 120))
    [status] = request(socket, {"command": "status"}, 120)
    assert status["settings_problem"] == ""


def test_a_command_says_that_settings_cannot_be_served(running: Running, folder: Path) -> None:
    running.told("READY=1")
    running.settings = make_settings(folder, audio__source=str(folder / "none.wav"))
    list(request(running.settings.control.socket, {"command": "reload"}, 120))
    [status] = request(running.settings.control.socket, {"command": "status"}, 120)
    assert "the old ones stay in use" in str(status["settings_problem"])
    assert "none.wav" in str(status["settings_problem"])
    running.settings = make_settings(folder)


def held(folder: Path) -> tuple[Running, EchoLanguageModel, list[str], threading.Thread]:
    """A daemon in the middle of a reply, and who asked for it."""
    model, replies = EchoLanguageModel(), []
    model.hold.clear()
    daemon = Running(folder, lambda settings: replace(fake_models(settings), language_model=model))
    daemon.told("READY=1")

    def ask() -> None:
        with suppress(AttuneError):  # where the daemon stopped before it had answered
            replies.append(daemon.ask("two words"))

    asking = threading.Thread(target=ask)
    asking.start()
    assert model.began.wait(120)
    return daemon, model, replies, asking


def test_reloads_while_a_turn_is_answered_are_one_and_cut_nothing_short(folder: Path) -> None:
    daemon, model, replies, asking = held(folder)
    daemon.wishes.put("reload")
    daemon.told("RELOADING=1")
    for _ in range(4):
        daemon.wishes.put("reload")
    model.hold.set()
    daemon.told("READY=1")
    asking.join(120)
    assert replies == ["0 two words"]
    assert daemon.ask("good day").endswith("good day")
    assert daemon.loaded == 2, "once at the start, once for all five"
    daemon.stop()


def test_a_stop_during_a_reload_does_not_wait_for_the_turn(folder: Path) -> None:
    daemon, model, _, asking = held(folder)
    daemon.wishes.put("reload")
    daemon.told("RELOADING=1")
    daemon.wishes.put("stop")
    assert eventually(lambda: not daemon.wishes.qsize())
    model.hold.set()
    daemon.told("STOPPING=1")
    asking.join(120)
    assert daemon.loaded == 1
    daemon.stop()


@pytest.mark.parametrize("how", ["unreadable", "unusable"])
def test_by_wrong_settings_the_old_ones_go_on(
    running: Running, folder: Path, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    running.told("READY=1")
    if how == "unreadable":
        running.problem = "unknown configuration key odd"
    else:
        running.settings = make_settings(folder, audio__source=str(folder / "none.wav"))
    running.wishes.put("reload")
    running.told("RELOADING=1")
    running.told("READY=1")
    running.settings = make_settings(folder)
    assert running.ask("still here").endswith("still here")
    assert ("odd" if how == "unreadable" else "none.wav does not exist") in caplog.text


def test_settings_that_are_wrong_at_the_start_end_it(folder: Path) -> None:
    wishes: queue.SimpleQueue[Wish] = queue.SimpleQueue()
    with pytest.raises(AttuneError, match="contradict"):
        serve(
            lambda: make_settings(folder, segmenter__start_threshold=0.2),
            wishes,
            Surroundings(open_models=fake_models),
        )


@pytest.fixture
def process(folder: Path) -> Iterator[Callable[..., "subprocess.Popen[str]"]]:
    started = []

    def run(**more: str) -> "subprocess.Popen[str]":
        settings = make_settings(folder)
        environment = {
            **os.environ,
            "ATTUNE__STATE_DIR": str(settings.state_dir),
            "ATTUNE__CACHE_DIR": str(settings.cache_dir),
            "ATTUNE__CONTROL__SOCKET": str(settings.control.socket),
            "ATTUNE__AUDIO__SOURCE": "none",
            **more,
        }
        started.append(
            subprocess.Popen(
                [sys.executable, "-m", "tests.support.tiny_daemon"],
                env=environment,
                stdin=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
        return started[-1]

    yield run
    for one in started:
        one.kill()
        one.communicate()


def await_line(daemon: "subprocess.Popen[str]", text: str) -> str:
    assert daemon.stderr is not None
    for line in daemon.stderr:
        if text in line:
            return line
    raise AssertionError(f"it ended without saying “{text}”")


def test_sighup_reads_the_settings_again_and_sigabrt_tells_where_every_thread_was(
    process: Callable[..., "subprocess.Popen[str]"],
) -> None:
    daemon = process()
    await_line(daemon, "serving at")
    daemon.send_signal(signal.SIGHUP)
    await_line(daemon, "stopped")
    await_line(daemon, "serving at")
    daemon.send_signal(signal.SIGABRT)
    await_line(daemon, "conversation.py")  # of its thread, whatever it does just now
    assert daemon.wait(120) == -signal.SIGABRT


def test_nobody_else_can_read_what_it_writes(
    process: Callable[..., "subprocess.Popen[str]"], folder: Path
) -> None:
    before = os.umask(0o022)  # the daemon starts with what its user has
    try:
        await_line(process(), "serving at")
    finally:
        os.umask(before)
    written = [path for path in (folder / "state").rglob("*") if path.is_file()]
    assert {path.name for path in written} >= {"attune.db", "attune.lock"}
    assert [path for path in written if path.stat().st_mode & 0o077] == []


def test_sigterm_ends_it(
    process: Callable[..., "subprocess.Popen[str]"],
) -> None:
    daemon = process()
    await_line(daemon, "serving at")
    daemon.terminate()
    assert daemon.wait(120) == 0
