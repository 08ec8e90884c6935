"""Who is let in: by a known name, from a known page, with a token that is for it."""

import socket
from contextlib import suppress
from pathlib import Path

import pytest

from daemon.http.errors import RefusedError
from daemon.http.gate import MOST_BODY_BYTES, Gate
from daemon.http.tokens import SCOPES, Tokens
from tests.support.http_house import Start, start_house
from tests.support.running_daemon import folder

__all__ = ["folder", "start_house"]


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:80", 200),
        ("127.0.0.1", 200),
        ("[::1]:8080", 200),
        ("192.168.1.20:8080", 200),
        ("attune.lan", 200),
        ("ATTUNE.LAN:8080", 200),
        (socket.gethostname(), 200),
        ("evil.example", 403),
        ("localhost.evil.example", 403),
        ("[", 403),
        ("", 403),
    ],
)
def test_only_known_names_are_taken(start_house: Start, host: str, status: int) -> None:
    house = start_house(http__names="kitchen.lan, attune.lan")
    assert house.get("/v1/models", Host=host).status == status


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://127.0.0.1:{port}", 200),
        ("https://chat.lan", 200),
        ("https://evil.example", 403),
        ("http://127.0.0.1", 403),
        ("null", 403),
    ],
)
def test_only_known_pages_are_taken(start_house: Start, origin: str, status: int) -> None:
    house = start_house(http__origins="https://chat.lan,http://b.lan")
    assert house.get("/v1/models", Origin=origin.format(port=house.port)).status == status


def test_a_known_page_may_ask_before(start_house: Start) -> None:
    house = start_house(http__origins="https://chat.lan,http://b.lan")
    asked = {"Origin": "https://chat.lan", "Access-Control-Request-Method": "POST"}
    house.tokens.add("phone", ["talk"])
    answer = house.ask("OPTIONS", "/v1/chat/completions", None, asked)
    assert answer.status == 200
    assert answer.headers["access-control-allow-origin"] == "https://chat.lan"


def test_without_tokens_any_key_is_taken_on_this_machine(start_house: Start) -> None:
    house = start_house()
    assert house.get("/v1/models").status == 200
    assert house.get("/v1/models", Authorization="Bearer sk-whatever").status == 200


def test_with_a_token_everybody_needs_one(start_house: Start) -> None:
    house = start_house()
    secret = house.tokens.add("phone", ["hear"])
    refused = house.get("/v1/models")
    assert refused.status == 401
    assert refused.headers["www-authenticate"] == "Bearer"
    assert "attune tokens add" in refused.error
    assert house.get("/v1/models", Authorization="Bearer wrong").status == 401
    assert house.get("/v1/models", Authorization=f"Bearer {secret}").status == 200
    assert house.get("/health/live").status == 200
    house.tokens.remove("phone")
    assert house.get("/v1/models").status == 200


@pytest.mark.parametrize(
    ("method", "path", "needed"),
    [
        ("POST", "/v1/chat/completions", "talk"),
        ("POST", "/v1/audio/speech", "talk"),
        ("POST", "/v1/audio/transcriptions", "hear"),
        ("GET", "/metrics", "metrics"),
        ("GET", "/api/status", "manage"),
        ("POST", "/api/ask", "manage"),
        ("GET", "/v1/fine_tuning/jobs", "learn"),
    ],
)
def test_a_token_is_for_its_scopes_alone(
    start_house: Start, method: str, path: str, needed: str
) -> None:
    house = start_house()
    for scope in SCOPES:
        secret = house.tokens.add(scope, [scope])
        answer = house.ask(method, path, None, {"Authorization": f"Bearer {secret}"})
        assert (answer.status == 403) is (scope != needed)


def test_a_damaged_file_of_tokens_lets_nobody_in(start_house: Start) -> None:
    house = start_house()
    (house.settings.state_dir / "tokens.json").write_text("{")
    answer = house.get("/v1/models")
    assert answer.status == 401
    assert "cannot be read" in answer.error
    assert house.get("/health/ready").status == 200


def test_from_elsewhere_a_token_is_needed_even_if_there_is_none(tmp_path: Path) -> None:
    gate = Gate(None, Tokens(tmp_path / "tokens.json"), (), ())  # type: ignore[arg-type]
    here = ("127.0.0.1", "::1", "::ffff:127.0.0.1")
    for peer, lets_in in (
        *((one, True) for one in here),
        ("::ffff:192.168.1.5", False),
        ("192.168.1.5", False),
        ("", False),
    ):
        connection = type("C", (), {"headers": {}, "scope": {}})()
        if lets_in:
            assert gate._token(connection, peer) is None
        else:
            with pytest.raises(RefusedError, match="from elsewhere"):
                gate._token(connection, peer)


def test_large_requests_are_refused_before_they_are_read(start_house: Start) -> None:
    house = start_house()
    with socket.create_connection(("127.0.0.1", house.port), 60) as connection:
        connection.sendall(
            b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n"
            b"Content-Type: application/json\r\n"
            + f"Content-Length: {MOST_BODY_BYTES + 1}\r\n\r\n".encode()
        )
        assert connection.recv(1000).startswith(b"HTTP/1.1 413 ")


def test_a_body_of_unknown_length_is_bounded_too(
    start_house: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daemon.http.gate.MOST_BODY_BYTES", 1000)
    house = start_house()
    with socket.create_connection(("127.0.0.1", house.port), 60) as connection:
        connection.sendall(
            b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n"
            b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        for _ in range(3):
            connection.sendall(b"190\r\n" + b" " * 400 + b"\r\n")
        assert connection.recv(1000).startswith(b"HTTP/1.1 413 ")


def test_a_client_that_sends_nothing_is_left(
    start_house: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daemon.http.server._HEADERS_SECONDS", 0.2)
    house = start_house()
    connection = socket.create_connection(("127.0.0.1", house.port), 60)
    with connection, suppress(ConnectionResetError, BrokenPipeError):
        connection.sendall(b"GET /v1/models HT")
        assert connection.recv(100) == b""


def test_a_client_that_stays_after_its_answer_is_left(
    start_house: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daemon.http.server._HEADERS_SECONDS", 0.2)
    house = start_house()
    with socket.create_connection(("127.0.0.1", house.port), 60) as connection:
        connection.sendall(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert connection.recv(1000).startswith(b"HTTP/1.1 200")
        with suppress(ConnectionResetError, BrokenPipeError):
            connection.sendall(b"G")
            while connection.recv(1000):  # the rest of the answer, and then the end
                pass


def test_a_known_page_reads_why_it_was_refused(start_house: Start) -> None:
    house = start_house(http__origins="https://chat.lan")
    house.tokens.add("phone", ["talk"])
    refused = house.get("/v1/models", Origin="https://chat.lan")
    assert refused.status == 401
    assert refused.headers["access-control-allow-origin"] == "https://chat.lan"
    unknown = house.get("/v1/models", Origin="https://evil.example")
    assert "access-control-allow-origin" not in unknown.headers


def test_no_header_changes_where_a_client_comes_from(start_house: Start) -> None:
    house = start_house()
    answer = house.get("/v1/models", X_Forwarded_For="192.168.1.7")
    assert answer.status == 200, "the peer is this machine, whatever a header says"


def test_a_defect_is_counted_as_one(start_house: Start) -> None:
    house = start_house()
    assert house.chat("defect").status == 500
    counted = house.get("/metrics").body.decode()
    label = 'path="/v1/chat/completions",status="500"'
    assert f"attune_http_request_seconds_count{{{label}}} 1.0" in counted


def test_too_much_at_once_is_refused(start_house: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("daemon.http.gate.MOST_WAITING_BYTES", 1000)
    house = start_house()
    assert house.chat("x" * 2000).status == 503
    assert house.chat("x").status == 200


def test_every_answer_has_the_id_by_which_the_log_names_it(start_house: Start) -> None:
    house = start_house()
    assert house.get("/v1/models", X_Request_Id="mine-7").headers["x-request-id"] == "mine-7"
    other = house.get("/v1/models", X_Request_Id="not good").headers["x-request-id"]
    assert len(other) == 32
    assert house.get("/v1/models", Host="evil.example").headers["x-request-id"]
