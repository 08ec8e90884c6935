"""What a service manager is told, by the protocol as systemd documents it; and signs of life
that only going round gives."""

import logging
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.systemd import JournalFormatter, ServiceManager, Watchdog, given_socket


@pytest.fixture
def told(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
        end.bind(str(tmp_path / "notify"))
        end.settimeout(120)
        yield end


def test_readiness_state_and_life_are_told(told: socket.socket) -> None:
    manager = ServiceManager({"NOTIFY_SOCKET": told.getsockname(), "WATCHDOG_USEC": "2500000"})
    assert manager.watchdog_seconds == 2.5
    manager.ready()
    manager.state("listening\nto a microphone")
    manager.alive()
    manager.stopping()
    received = [told.recv(1000).decode() for _ in range(4)]
    assert received == ["READY=1", "STATUS=listening to a microphone", "WATCHDOG=1", "STOPPING=1"]
    manager.reloading()
    first, second = told.recv(1000).decode().split("\n")
    assert first == "RELOADING=1"
    assert int(second.removeprefix("MONOTONIC_USEC=")) > 0


def test_an_abstract_address_is_one() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
        end.bind(f"\0attune-test-{os.getpid()}")
        end.settimeout(120)
        ServiceManager({"NOTIFY_SOCKET": f"@attune-test-{os.getpid()}"}).ready()
        assert end.recv(100) == b"READY=1"


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"WATCHDOG_USEC": "soon"},
        {"WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "1"},
        {"NOTIFY_SOCKET": ""},
    ],
)
def test_nobody_watches_or_somebody_else_is_watched(environment: dict[str, str]) -> None:
    manager = ServiceManager(environment)
    assert manager.watchdog_seconds is None
    manager.ready()


def test_a_manager_that_is_gone_costs_no_more_than_a_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ServiceManager({"NOTIFY_SOCKET": str(tmp_path / "gone")}).ready()
    assert "cannot be told READY" in caplog.text


@given(st.lists(st.sampled_from(["listening", "conversation"]), max_size=40))
def test_life_is_told_only_when_every_loop_went_round(rounds: list[str]) -> None:
    told: list[int] = []
    watchdog = Watchdog(0.0, lambda: told.append(len(told)))
    loops = {name: watchdog.watch(name) for name in ("listening", "conversation")}
    seen: set[str] = set()
    expected = 0
    for name in rounds:
        loops[name]()
        seen.add(name)
        if len(seen) == 2:
            expected += 1
            seen.clear()
    assert len(told) == expected


def test_a_loop_that_ended_is_not_waited_for_and_one_that_froze_is() -> None:
    told: list[str] = []
    watchdog = Watchdog(0.0, lambda: told.append("alive"))
    listening, conversation = watchdog.watch("listening"), watchdog.watch("conversation")
    listening()
    for _ in range(5):
        listening()
    assert told == [], "the conversation is frozen"
    watchdog.leave("listening")
    conversation()
    conversation()
    assert told == ["alive", "alive"]


def test_nothing_is_told_more_often_than_is_needed() -> None:
    told: list[str] = []
    watchdog = Watchdog(3600.0, lambda: told.append("alive"))
    loop = watchdog.watch("listening")
    for _ in range(100):
        loop()
    assert told == ["alive"]
    unwatched = Watchdog(None, lambda: told.append("never")).watch("listening")
    unwatched()
    assert told == ["alive"]


def test_lines_of_the_journal_carry_their_level() -> None:
    record = logging.LogRecord(
        "daemon.app", logging.ERROR, "", 0, "it %s\nbadly", ("failed",), None
    )
    assert JournalFormatter().format(record) == "<3>daemon.app: it failed\n<3>badly"
    for level, number in (
        (logging.DEBUG, 7),
        (logging.INFO, 6),
        (logging.WARNING, 4),
        (logging.CRITICAL, 2),
    ):
        assert (
            JournalFormatter().format(logging.LogRecord("x", level, "", 0, "y", (), None))
            == f"<{number}>x: y"
        )


TAKE = """
import os, sys
os.environ["LISTEN_PID"] = str(os.getpid())
from daemon.systemd import given_socket
taken = given_socket()
connection, _ = taken.accept()
connection.sendall(b"hello")
print(os.get_inheritable(taken.fileno()))
"""


def test_a_socket_that_was_opened_for_this_process_is_listened_on(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "a.sock"))
        listener.listen()
        code = f"import os; os.dup2({listener.fileno()}, 3)\n{TAKE}"
        process = subprocess.Popen(
            [sys.executable, "-c", code],
            env={**os.environ, "LISTEN_FDS": "1"},
            pass_fds=[listener.fileno()],
            stdout=subprocess.PIPE,
            text=True,
        )
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(120)
            client.connect(str(tmp_path / "a.sock"))
            assert client.recv(10) == b"hello"
        assert process.communicate(timeout=120)[0] == "False\n"


@pytest.mark.parametrize(
    "environment", [{}, {"LISTEN_PID": "1", "LISTEN_FDS": "1"}, {"LISTEN_PID": str(os.getpid())}]
)
def test_no_socket_was_given(environment: dict[str, str]) -> None:
    assert given_socket(environment) is None


def test_several_sockets_are_refused() -> None:
    with pytest.raises(ValueError, match="2 sockets were handed over"):
        given_socket({"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "2"})
