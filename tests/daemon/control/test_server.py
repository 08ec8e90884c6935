"""The control socket and the lock on the state."""

import json
import os
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from daemon.client.socket_client import request
from daemon.clients import Client
from daemon.control.server import MAX_LINE_BYTES, ControlServer, Handler, Message
from daemon.control.socket_file import hold_socket
from daemon.events.bus import Events
from daemon.events.enrolment import BadRow
from daemon.state_lock import hold_state
from engines.errors import AttuneError


def count_to(command: Message, client: Client) -> Generator[Message, None, None]:
    if command["command"] == "break":
        raise RuntimeError("a defect")
    if command["command"] == "missing":
        Path("/nonexistent").read_text(encoding="utf-8")
    if command["command"] == "refuse":
        raise AttuneError("not today; try tomorrow")
    for number in range(int(str(command["to"]))):
        yield {"number": number}


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "run" / "a.sock"
    with serving(path, count_to):
        yield path


@contextmanager
def serving(path: Path, handle: Handler, **options: float) -> Iterator[None]:
    with hold_socket(path) as listener:
        server = ControlServer(listener, handle, **options)
        yield
        server.close()


def raw(path: Path, *data: bytes) -> list[Message]:
    """What the server says to bytes that no good client would send."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(120)
        connection.connect(str(path))
        for part in data:
            connection.sendall(part)
        connection.shutdown(socket.SHUT_WR)
        with connection.makefile("rb") as lines:
            return [json.loads(line) for line in lines]


def test_a_command_is_answered_by_its_events(path: Path) -> None:
    assert list(request(path, {"command": "count", "to": 3})) == [
        {"number": 0},
        {"number": 1},
        {"number": 2},
    ]


def test_the_socket_is_private_and_goes_with_the_server(tmp_path: Path) -> None:
    path = tmp_path / "run" / "a.sock"
    with serving(path, count_to):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert not path.exists()


def test_a_refusal_is_the_clients_error_and_a_defect_does_not_end_the_server(path: Path) -> None:
    with pytest.raises(AttuneError, match="^not today; try tomorrow$"):
        list(request(path, {"command": "refuse"}))
    for command in ("break", "missing"):
        with pytest.raises(AttuneError, match="its log says more"):
            list(request(path, {"command": command}))
    assert len(list(request(path, {"command": "count", "to": 2}))) == 2


@pytest.mark.parametrize(
    "line", [b"hello\n", b"[1]\n", b'{"command": \n', b"\xff\xfe\n", b"[" * 100_000 + b"\n"]
)
def test_what_is_no_request_is_answered_in_one_line(path: Path, line: bytes) -> None:
    answers = raw(path, line, b'{"command": "count", "to": 0}\n')
    assert "not one JSON object" in str(answers[0]["error"])
    assert answers[1] == {"done": True}


def test_a_line_without_an_end_is_refused(path: Path) -> None:
    assert "longer than" in str(raw(path, b"x" * (MAX_LINE_BYTES + 1))[0]["error"])
    assert list(request(path, {"command": "count", "to": 1})) == [{"number": 0}]


def test_a_silent_connection_is_closed(tmp_path: Path) -> None:
    with (
        serving(tmp_path / "a.sock", count_to, idle_seconds=0.05),
        socket.socket(socket.AF_UNIX) as connection,
    ):
        connection.settimeout(120)
        connection.connect(str(tmp_path / "a.sock"))
        assert connection.recv(1) == b""


def test_a_client_that_leaves_ends_its_command(tmp_path: Path) -> None:
    ended = threading.Event()

    def endless(_: Message, client: Client) -> Generator[Message, None, None]:
        try:
            while True:
                yield {"filler": "x" * 1000}
        finally:
            ended.set()

    with serving(tmp_path / "a.sock", endless):
        events = request(tmp_path / "a.sock", {"command": "go"})
        next(events)
        events.close()
        assert ended.wait(120)


def test_no_daemon_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(
        AttuneError, match="no Attune daemon answers at .*; start it with `attune serve`"
    ):
        list(request(tmp_path / "none.sock", {"command": "status"}))


def test_a_daemon_that_ends_in_the_middle_is_one_clear_line(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "a.sock"))
        listener.listen()

        def half() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(b'{"number": 0}\n{"numb')

        thread = threading.Thread(target=half)
        thread.start()
        events = request(tmp_path / "a.sock", {"command": "count"})
        assert next(events) == {"number": 0}
        with pytest.raises(AttuneError, match="ended before it had answered"):
            next(events)
        thread.join()


def test_a_stale_socket_is_taken_over_and_a_live_one_is_not(tmp_path: Path) -> None:
    path = tmp_path / "a.sock"
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(path))
    dead.close()
    with serving(path, count_to):
        with (
            pytest.raises(
                AttuneError, match=rf"another Attune daemon \(process {os.getpid()}\) answers"
            ),
            hold_socket(path),
        ):
            pass
        assert list(request(path, {"command": "count", "to": 1})) == [{"number": 0}]


def test_who_asks_between_two_servers_of_a_socket_is_answered_by_the_second(tmp_path: Path) -> None:
    path = tmp_path / "a.sock"
    release = threading.Event()

    def wait(_: Message, client: Client) -> Generator[Message, None, None]:
        yield {"waiting": True}
        assert release.wait(120)
        yield {"waited": True}

    with hold_socket(path) as listener:
        first = ControlServer(listener, wait)
        under_way = request(path, {"command": "wait"})
        assert next(under_way) == {"waiting": True}
        first.turn_away()
        answers: list[Message] = []
        asking = threading.Thread(
            target=lambda: answers.extend(request(path, {"command": "count", "to": 1}))
        )
        asking.start()
        release.set()
        assert list(under_way) == [{"waited": True}], (
            "what was being answered is answered to its end"
        )
        first.close()
        assert answers == []
        second = ControlServer(listener, count_to)
        asking.join(120)
        second.close()
    assert answers == [{"number": 0}]


def test_a_file_in_the_way_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.sock"
    path.write_text("precious", encoding="utf-8")
    with pytest.raises(AttuneError, match="in the way"), hold_socket(path):
        pass
    assert path.read_text(encoding="utf-8") == "precious"


def test_a_path_too_long_for_a_socket_says_so(tmp_path: Path) -> None:
    with (
        pytest.raises(AttuneError, match="set control.socket to another path"),
        hold_socket(tmp_path / ("x" * 120)),
    ):
        pass


def test_too_many_connections_are_told_so(tmp_path: Path) -> None:
    release = threading.Event()

    def wait(_: Message, client: Client) -> Generator[Message, None, None]:
        yield {"waiting": True}
        release.wait(120)

    with serving(tmp_path / "a.sock", wait):
        held = [request(tmp_path / "a.sock", {"command": "wait"}) for _ in range(16)]
        for events in held:
            next(events)
        with pytest.raises(AttuneError, match="too many connections"):
            list(request(tmp_path / "a.sock", {"command": "wait"}))
        release.set()
        for events in held:
            assert list(events) == []


def test_the_state_has_one_owner_and_outlives_a_kill(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib; from daemon.state_lock import hold_state\n"
        "with hold_state(pathlib.Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert holder.stdout is not None
    assert holder.stdin is not None
    holder.stdout.readline()
    with (
        pytest.raises(AttuneError, match=rf"process {holder.pid}\) already uses {tmp_path}"),
        hold_state(tmp_path),
    ):
        pass
    holder.kill()
    holder.wait()
    holder.stdin.close()
    holder.stdout.close()
    with hold_state(tmp_path):
        assert (tmp_path / "attune.lock").read_text(encoding="ascii") == str(os.getpid())


def test_a_follower_that_lags_misses_events_and_blocks_nobody() -> None:
    events = Events()
    with events.follow() as slow:
        for number in range(5000):
            events.publish(BadRow(row=number, problem=""))
        assert slow.get_nowait() == BadRow(row=0, problem="")
        assert slow.qsize() < 5000
    events.publish(BadRow(row=-1, problem=""))
    assert slow.qsize() == 999
