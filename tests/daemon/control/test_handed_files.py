"""Files come to the daemon as open descriptors: it opens nothing that a client names, keeps none
open, and waits for nobody."""

import os
import socket
import time
from collections.abc import Generator, Iterator
from pathlib import Path

import psutil
import pytest

from daemon.client.socket_client import request
from daemon.clients import Client
from daemon.control import row_stream
from daemon.control.incoming import MAX_DESCRIPTORS
from daemon.control.server import ControlServer, Message
from daemon.control.socket_file import hold_socket
from engines.audio.recordings import write_flac
from engines.errors import AttuneError
from engines.open_file import open_file
from tests.support.fake_child import DEADLINE_SECONDS, eventually
from tests.support.fakes import tone
from tests.support.running_daemon import Daemon, Start, enroll, folder, start

__all__ = ["folder", "start"]


def names_of(request_: Message, _: Client) -> Generator[Message, None, None]:
    """Says what the descriptors of a request hold."""
    descriptors = request_.get("descriptors", ())
    assert isinstance(descriptors, tuple)
    yield {"held": [os.pread(one, 100, 0).decode() for one in descriptors]}


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    with hold_socket(tmp_path / "a.sock") as listener:
        server = ControlServer(listener, names_of)
        yield tmp_path / "a.sock"
        server.close()


def open_descriptors() -> int:
    return int(psutil.Process().num_fds())


def handed(folder: Path, *texts: str) -> list[int]:
    descriptors = []
    for number, text in enumerate(texts):
        (folder / f"{number}.txt").write_text(text)
        descriptors.append(os.open(folder / f"{number}.txt", os.O_RDONLY))
    return descriptors


def test_descriptors_come_with_their_request_and_are_closed_after_it(
    path: Path, tmp_path: Path
) -> None:
    list(request(path, {"command": "x"}))
    before = open_descriptors()
    for _ in range(3):
        for texts in (["one"], ["one", "two"], []):
            descriptors = handed(tmp_path, *texts)
            events = request(path, {"command": "x"}, 120, descriptors)
            assert next(events) == {"held": texts}
            for descriptor in descriptors:
                os.close(descriptor)
            assert list(events) == []
    eventually_open(before)


def eventually_open(count: int) -> None:
    """The thread of a connection closes its descriptors just after its last word."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while open_descriptors() > count and time.monotonic() < deadline:
        os.sched_yield()
    assert open_descriptors() <= count


def test_more_descriptors_than_a_request_may_bring_are_refused_and_closed(
    path: Path, tmp_path: Path
) -> None:
    before = open_descriptors()
    descriptors = handed(tmp_path, *["x"] * (MAX_DESCRIPTORS + 3))
    with pytest.raises(AttuneError, match="some open files of a request were lost"):
        list(request(path, {"command": "x"}, 120, descriptors))
    for descriptor in descriptors:
        os.close(descriptor)
    eventually_open(before)


def test_a_client_cannot_name_descriptors_of_the_daemon(path: Path) -> None:
    assert list(request(path, {"command": "x", "descriptors": [0, 1, 2]})) == [{"held": []}]


def test_a_long_request_keeps_its_descriptors(path: Path, tmp_path: Path) -> None:
    [descriptor] = handed(tmp_path, "held")
    events = request(path, {"command": "x", "padding": "x" * 900_000}, 120, [descriptor])
    assert next(events) == {"held": ["held"]}
    os.close(descriptor)
    events.close()


def test_a_request_in_pieces_keeps_its_descriptors(path: Path, tmp_path: Path) -> None:
    [descriptor] = handed(tmp_path, "held")
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(120)
        connection.connect(str(path))
        connection.sendall(b'{"comm')
        socket.send_fds(connection, [b'and": '], [descriptor])
        connection.sendall(b'"x"}\n')
        os.close(descriptor)
        with connection.makefile("rb") as lines:
            assert b'"held": ["held"]' in lines.readline()


def test_a_request_too_long_is_not_sent(path: Path) -> None:
    with pytest.raises(AttuneError, match="longer than 1048576 bytes"):
        list(request(path, {"command": "x", "text": "x" * 1_100_000}))


# --- a whole daemon


def test_a_file_that_only_the_client_sees_is_heard(start: Start, folder: Path) -> None:
    """As where a service sees no homes: by the time it reads, no path leads to the file."""
    daemon = start()
    write_flac(folder / "a.flac", tone(1.0, 300))
    with open_file(folder / "a.flac") as file:
        (folder / "a.flac").unlink()
        command: Message = {"command": "ask", "audio": "/home/nobody/a.flac"}
        turn = list(request(daemon.settings.control.socket, command, 60, [file.fileno()]))[-1]
        assert turn["heard"] == "a tone of 300"
        command["command"] = "listen"
        assert list(request(daemon.settings.control.socket, command, 60, [file.fileno()]))[-1][
            "heard_seconds"
        ] == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("command", ["ask", "listen"])
def test_a_recording_that_is_only_named_is_not_opened(
    start: Start, folder: Path, command: str
) -> None:
    daemon = start()
    write_flac(folder / "a.flac", tone(1.0, 300))
    with pytest.raises(
        AttuneError, match=r"a\.flac did not come as one open descriptor .*; use the command line"
    ):
        daemon.do(command, audio=str(folder / "a.flac"))


@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "socket"])
def test_what_is_no_file_is_refused_and_leaves_no_attention(
    start: Start, folder: Path, kind: str
) -> None:
    daemon = start()
    path = folder / "odd"
    ends: list[socket.socket] = []
    match kind:
        case "pipe":
            os.mkfifo(path)
        case "device":
            path.symlink_to("/dev/zero")
        case "folder":
            path.mkdir()
        case _:
            ends.append(socket.socket(socket.AF_UNIX))
            ends[0].bind(str(path))
    for command in ("ask", "listen"):
        with pytest.raises(AttuneError, match=f"is not a file but a {kind}"):
            daemon.do(command, audio=path)
    with pytest.raises(AttuneError, match=f"is not a file but a {kind}"):
        daemon.enroll(path)
    odd, other = socket.socketpair()
    with odd, other, pytest.raises(AttuneError, match="is not a file but a socket"):
        list(
            request(
                daemon.settings.control.socket,
                {"command": "ask", "audio": "odd.wav"},
                60,
                [odd.fileno()],
            )
        )
    assert eventually(lambda: daemon.status()["attentive"] is False)
    for end in ends:
        end.close()


def begun_enrolment(daemon: Daemon) -> tuple[Generator[Message, None, None], socket.socket]:
    ours, theirs = row_stream.pair()
    events = request(daemon.settings.control.socket, {"command": "enroll"}, 120, [theirs.fileno()])
    assert next(events) == {"event": "enrolling"}
    theirs.close()
    assert daemon.status()["attentive"] is True
    return events, ours


@pytest.mark.parametrize("how", ["hangs up", "is killed", "sends nonsense"])
def test_however_an_enrolment_ends_attention_ends(start: Start, folder: Path, how: str) -> None:
    daemon = start()
    events, ours = begun_enrolment(daemon)
    if how == "sends nonsense":
        ours.send(b"nonsense")
        with pytest.raises(AttuneError, match="came with 0 open files"):
            next(events)
    elif how == "is killed":  # all its descriptors are closed at once
        events.close()
    ours.close()
    assert eventually(lambda: daemon.status()["attentive"] is False)
    events.close()


def test_a_client_that_hands_over_nothing_more_is_not_waited_for_for_ever() -> None:
    ours, theirs = row_stream.pair()
    with ours, theirs, pytest.raises(AttuneError, match=r"no row came for 0\.05 s"):
        next(row_stream.receive(theirs.fileno(), silent_seconds=0.05))


def test_what_is_no_stream_of_rows_is_refused(start: Start, folder: Path) -> None:
    daemon = start()
    (folder / "a.txt").write_text("x")
    stream, other = socket.socketpair()
    with open_file(folder / "a.txt") as file, stream, other:
        for descriptor in (file.fileno(), stream.fileno()):
            with pytest.raises(AttuneError, match="come through a socket"):
                list(
                    request(
                        daemon.settings.control.socket, {"command": "enroll"}, 120, [descriptor]
                    )
                )
    with pytest.raises(AttuneError, match="did not come as one open descriptor"):
        daemon.do("enroll")
    assert eventually(lambda: daemon.status()["attentive"] is False)


def test_a_row_may_hand_over_no_more_than_its_recording(start: Start, folder: Path) -> None:
    daemon = start()
    events, ours = begun_enrolment(daemon)
    write_flac(folder / "a.flac", tone(0.5))
    row = row_stream.Row(number=1, name="a.flac", text="x")
    with open_file(folder / "a.flac") as file:
        for descriptors, line in (
            ([file.fileno()] * 2, "2 open files"),
            ([file.fileno()] * 20, "could not be handed over"),
        ):
            socket.send_fds(ours, [row.model_dump_json().encode()], descriptors)
            with pytest.raises(AttuneError, match=line):
                next(events)
            ours.close()
            events, ours = begun_enrolment(daemon)
    ours.close()
    assert next(events)["enrolled"] == 0


def test_enrolling_leaves_no_descriptor_open(start: Start, folder: Path) -> None:
    daemon = start()
    enroll(daemon, folder, 1)
    before = open_descriptors()
    enroll(daemon, folder, 30)
    eventually_open(before + 10)  # the store keeps a connection for each thread that read at once
