"""Whatever comes through the port: the daemon lives, others are answered, and nothing is left
open."""

import base64
import random
import socket
import struct
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.fake_child import eventually
from tests.support.http_house import HttpHouse, Start, start_house
from tests.support.open_files import open_files
from tests.support.running_daemon import folder

__all__ = ["folder", "start_house"]

HOST = b"Host: localhost\r\n"
UPGRADE = (
    b"GET /v1/realtime HTTP/1.1\r\n" + HOST + b"Upgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + base64.b64encode(bytes(16)) + b"\r\n\r\n"
)


def send(house: HttpHouse, data: bytes, wait: bool = True) -> bytes:
    """What comes back on a connection of its own; nothing is waited for without `wait`."""
    with socket.create_connection(("127.0.0.1", house.port), 20) as connection:
        got = b""
        with suppress(OSError):
            connection.sendall(data)
            if wait:
                connection.shutdown(socket.SHUT_WR)  # half closed
                while piece := connection.recv(65536):
                    got += piece
        return got


def request(headers: bytes, body: bytes = b"", path: bytes = b"/v1/chat/completions") -> bytes:
    return b"POST " + path + b" HTTP/1.1\r\n" + HOST + headers + b"\r\n" + body


JSON = b"Content-Type: application/json\r\n"
LIES = {
    "a length that is too large": request(JSON + b"Content-Length: 5000\r\n", b"{}"),
    "a length that is too small": request(JSON + b"Content-Length: 1\r\n", b"{}"),
    "two lengths": request(JSON + b"Content-Length: 2\r\nContent-Length: 5\r\n", b"{}"),
    "a length below zero": request(JSON + b"Content-Length: -1\r\n", b"{}"),
    "a length without end": request(JSON + b"Content-Length: " + b"9" * 400 + b"\r\n", b"{}"),
    "no length and no body": request(JSON),
    "chunks that lie": request(JSON + b"Transfer-Encoding: chunked\r\n", b"ffffffff\r\n{}\r\n"),
    "chunks without a size": request(JSON + b"Transfer-Encoding: chunked\r\n", b"zz\r\n{}\r\n"),
    "a header without end": b"GET / HTTP/1.1\r\nX: " + b"x" * 200_000,
    "headers without end": b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 50_000,
    "no host": b"GET /v1/models HTTP/1.1\r\n\r\n",
    "two hosts": b"GET /v1/models HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "an unknown method": b"\x00\x01\x02 / HTTP/1.1\r\n" + HOST + b"\r\n",
    "another protocol": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "HTTP 2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a path of bytes": b"GET /\xff\xfe%00%zz HTTP/1.1\r\n" + HOST + b"\r\n",
    "a path that climbs": b"GET /../../etc/passwd HTTP/1.1\r\n" + HOST + b"\r\n",
    "JSON without end": request(JSON + b"Content-Length: 100000\r\n", b"[" * 100_000),
    "JSON of bytes": request(JSON + b"Content-Length: 4\r\n", b"\xff\xfe\xfd\xfc"),
    "a form without parts": request(
        b"Content-Type: multipart/form-data; boundary=x\r\nContent-Length: 9\r\n",
        b"--y\r\n\r\nab",
        b"/v1/audio/transcriptions",
    ),
    "a form without boundary": request(
        b"Content-Type: multipart/form-data\r\nContent-Length: 2\r\n",
        b"ab",
        b"/v1/audio/transcriptions",
    ),
    "a form of many parts": request(
        b"Content-Type: multipart/form-data; boundary=x\r\nContent-Length: 132000\r\n",
        b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n\r\n' * 2500,
        b"/v1/audio/transcriptions",
    ),
    "frames of bytes": UPGRADE + bytes(range(256)) * 8,
    "a frame that is not masked": UPGRADE + b"\x81\x02{}",
    "a frame without end": UPGRADE + b"\x81\xff" + struct.pack(">Q", 2**62) + bytes(64),
    "a frame that is cut off": UPGRADE + b"\x81\xfe\x10\x00" + bytes(20),
    "half an upgrade": UPGRADE[:-2],
}


@pytest.mark.parametrize("lie", LIES)
def test_a_lie_is_answered_or_left(start_house: Start, lie: str) -> None:
    house = start_house()
    answer = send(house, LIES[lie])
    assert b" 500 " not in answer[:20]
    assert house.get("/health/live").status == 200


def test_many_of_them_leave_nothing_behind(start_house: Start) -> None:
    house = start_house()
    generator = random.Random(27)
    for lie in LIES.values():
        send(house, lie)
    before = open_files()
    for number in range(500):
        changed = bytearray(generator.choice(list(LIES.values()))[:4000])
        for _ in range(generator.randrange(6)):
            changed[generator.randrange(len(changed))] = generator.randrange(256)
        send(house, bytes(changed[: generator.randrange(1, 4001)]), wait=number % 4 == 0)
        if number % 50 == 0:
            assert house.chat("hello").status == 200
    assert house.chat("hello").status == 200
    assert eventually(lambda: open_files() <= before + 2)


def test_who_does_not_read_keeps_nobody_waiting(start_house: Start) -> None:
    house = start_house()
    body = b'{"input": "' + b"A long text. " * 600 + b'", "response_format": "wav"}'
    head = JSON + f"Content-Length: {len(body)}\r\n".encode()
    with socket.create_connection(("127.0.0.1", house.port), 20) as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.sendall(request(head, body, b"/v1/audio/speech"))
        assert slow.recv(100)
        assert house.post("/v1/audio/speech", {"input": "hello"}).status == 200
        assert house.chat("hello").status == 200


def test_who_never_reads_is_left(start_house: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("daemon.http.server._TAKE_SECONDS", 0.2)
    house = start_house()
    before = open_files()
    body = b'{"input": "' + b"A long text. " * 600 + b'", "response_format": "wav"}'
    head = JSON + f"Content-Length: {len(body)}\r\n".encode()
    with socket.create_connection(("127.0.0.1", house.port), 20) as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.sendall(request(head, body, b"/v1/audio/speech"))
        assert slow.recv(100)
        assert eventually(lambda: open_files() <= before + 1)


def test_a_recording_that_names_another_opens_none(start_house: Start, tmp_path: Path) -> None:
    house = start_house()
    secret = tmp_path / "secret.wav"
    secret.write_bytes(b"RIFF")
    for text in (f"#EXTM3U\n{secret}\n", f"ffconcat version 1.0\nfile {secret}"):
        assert house.upload("/v1/audio/transcriptions", text.encode()).status == 400
