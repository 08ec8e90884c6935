"""Clients that leave, read slowly, ask nonsense or come in crowds: the next one is answered."""

import json
import socket
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from daemon.client.socket_client import request
from daemon.clients import Client, HangUps
from daemon.control.server import MAX_LINE_BYTES, ControlServer, Message
from daemon.control.socket_file import hold_socket
from engines.audio.recordings import write_flac
from engines.errors import AttuneError
from tests.support.fake_child import eventually
from tests.support.fakes import EchoLanguageModel, fake_models
from tests.support.running_daemon import Daemon, Start, folder, make_settings, start

__all__ = ["folder", "start"]

DEADLINE_SECONDS = 120.0


class TestHangUps:
    @pytest.fixture
    def hang_ups(self) -> Iterator[HangUps]:
        hang_ups = HangUps()
        yield hang_ups
        hang_ups.close()

    def test_a_client_that_closes_has_left_and_one_that_only_stops_writing_has_not(
        self, hang_ups: HangUps
    ) -> None:
        here, there = socket.socketpair()
        left = threading.Event()
        with here, hang_ups.watching(here) as client, client.telling(left.set):
            there.shutdown(socket.SHUT_WR)
            assert not left.wait(0.1)
            there.close()
            assert left.wait(DEADLINE_SECONDS)
            assert client.left

    def test_what_was_sent_and_not_read_hides_nothing(self, hang_ups: HangUps) -> None:
        here, there = socket.socketpair()
        left = threading.Event()
        there.sendall(b"more requests")
        with here, hang_ups.watching(here) as client, client.telling(left.set):
            there.close()
            assert left.wait(DEADLINE_SECONDS)

    def test_one_that_left_before_is_told_of_at_once(self, hang_ups: HangUps) -> None:
        here, there = socket.socketpair()
        there.close()
        left = threading.Event()
        with here, hang_ups.watching(here) as client:
            with client.telling(left.set):
                assert left.wait(DEADLINE_SECONDS)
            again = threading.Event()
            with client.telling(again.set):
                assert again.is_set()

    def test_closing_counts_as_leaving(self) -> None:
        hang_ups = HangUps()
        here, there = socket.socketpair()
        with here, there, hang_ups.watching(here) as client:
            hang_ups.close()
            assert client.left
            with hang_ups.watching(there) as late:
                assert late.left

    def test_who_is_not_watched_any_more_is_not_told(self, hang_ups: HangUps) -> None:
        here, there = socket.socketpair()
        with here:
            with hang_ups.watching(here) as client:
                pass
            there.close()
            with hang_ups.watching(here) as second:
                left = threading.Event()
                with second.telling(left.set):
                    assert left.wait(DEADLINE_SECONDS)
            assert not client.left


def test_who_computes_an_answer_is_told_at_once(tmp_path: Path) -> None:
    waiting, ended = threading.Event(), threading.Event()

    def slow(_: Message, client: Client) -> Generator[Message, None, None]:
        left = threading.Event()
        with client.telling(left.set):
            waiting.set()
            assert left.wait(DEADLINE_SECONDS)
        ended.set()
        yield {"event": "nobody reads this"}

    with hold_socket(tmp_path / "a.sock") as listener:
        server = ControlServer(listener, slow)
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(tmp_path / "a.sock"))
            connection.sendall(b"{}\n")
            assert waiting.wait(DEADLINE_SECONDS)
        assert ended.wait(DEADLINE_SECONDS)
        server.close()


def test_a_server_that_closes_tells_who_computes(tmp_path: Path) -> None:
    ended = threading.Event()

    def slow(_: Message, client: Client) -> Generator[Message, None, None]:
        left = threading.Event()
        yield {"event": "begun"}
        with client.telling(left.set):
            assert left.wait(DEADLINE_SECONDS)
        ended.set()

    with hold_socket(tmp_path / "a.sock") as listener:
        server = ControlServer(listener, slow)
        events = request(tmp_path / "a.sock", {"command": "go"})
        next(events)
        server.close()
        assert ended.is_set()


def connected(daemon: Daemon, line: bytes) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(DEADLINE_SECONDS)
    connection.connect(str(daemon.settings.control.socket))
    connection.sendall(line)
    return connection


def answers(connection: socket.socket) -> list[Message]:
    """Until the server closes, or has answered."""
    found: list[Message] = []
    with connection.makefile("rb") as lines:
        for line in lines:
            found.append(json.loads(line))
            if found[-1].get("done") or "error" in found[-1]:
                break
    return found


def holding(start: Start, after: int = 0, **flags: object) -> tuple[Daemon, EchoLanguageModel]:
    """A daemon whose replies wait after so many pieces."""
    model = EchoLanguageModel()
    model.hold_after = after
    daemon = start(
        open_models=lambda settings: replace(fake_models(settings), language_model=model), **flags
    )
    return daemon, model


class TestADaemon:
    def test_the_next_client_does_not_wait_for_a_reply_that_nobody_reads(
        self, start: Start
    ) -> None:
        daemon, model = holding(start, after=2)
        model.hold.clear()
        model.seconds_per_word = 0.02  # all of them take 20 s, so that leaving is noticed before
        with daemon.app.parts.events.follow() as happening:
            with connected(
                daemon, b'{"command": "ask", "text": "%s"}\n' % (b"word " * 1000)
            ) as connection:
                assert [json.loads(connection.makefile().readline())["event"]] == ["heard"]
                while happening.get(timeout=DEADLINE_SECONDS).message()["event"] != "token":
                    pass
            model.hold.set()
            while (last := happening.get(timeout=DEADLINE_SECONDS).message())["event"] != "turn":
                pass
        assert last["interrupted"] is True
        assert len(str(last["reply"]).split()) < 1000
        assert daemon.do("ask", text="next")[-1]["reply"] == "1 next"

    def test_a_client_that_only_stops_writing_is_answered(self, start: Start) -> None:
        daemon = start()
        for line in (
            b'{"command": "ask", "text": "one two"}\n',
            b'{"command": "ask", "text": "one two"}',
            b'{"command": "status"}',
        ):
            with connected(daemon, line) as connection:
                connection.shutdown(socket.SHUT_WR)
                found = answers(connection)
            assert found[-1] == {"done": True}
            assert found[-2]["event"] in ("turn", "status")

    def test_listening_stops_with_its_client(
        self, start: Start, folder: Path, general_speech: Path
    ) -> None:
        import numpy as np

        from engines.audio.recordings import read_audio
        from engines.models.general_speech import read_prompts

        prompts = [read_audio(prompt.audio) for prompt in read_prompts(general_speech)[:2]]
        pause = np.zeros(24_000, np.float32)
        write_flac(
            folder / "a.flac",
            np.concatenate(
                [part for _ in range(4) for prompt in prompts for part in (pause, prompt)]
            ),
        )
        daemon, model = holding(start)
        model.hold.clear()
        events = request(
            daemon.settings.control.socket, {"command": "listen", "audio": folder / "a.flac"}, 60
        )
        assert next(event for event in events if event["event"] == "heard")
        with daemon.app.parts.events.follow() as happening:
            events.close()
            model.hold.set()
            while happening.get(timeout=DEADLINE_SECONDS).message()["event"] not in (
                "turn",
                "turn_failed",
            ):
                pass
            assert daemon.do("ask", text="next")[-1]["event"] == "turn"
            assert daemon.status()["counts"]["utterances"] <= 1
        assert eventually(lambda: daemon.status()["attentive"] is False)

    @pytest.mark.parametrize(
        "line",
        [
            b'{"command": "events"}\n',
            b'{"command": "adapt"}\n',
            b'{"command": "ask", "text": "x"}\n',
        ],
    )
    def test_places_of_clients_that_left_are_free_at_once(self, start: Start, line: bytes) -> None:
        daemon, model = holding(start)
        for _ in range(3):
            with ExitStack() as stack:
                model.hold.clear()
                connections = [stack.enter_context(connected(daemon, line)) for _ in range(16)]
                if b"ask" not in line:
                    for connection in connections:
                        assert connection.recv(1)
            model.hold.set()
            assert _asked_until_there_is_room(daemon)["reply"] != ""

    def test_a_crowd_that_says_nothing_is_turned_down_and_forgotten(self, start: Start) -> None:
        daemon = start()
        with ExitStack() as stack:
            for _ in range(60):
                stack.enter_context(connected(daemon, b""))
            with pytest.raises(
                AttuneError, match=r"too many connections|ended before it had answered|broke"
            ):
                daemon.do("status")
        assert _asked_until_there_is_room(daemon)["reply"]

    def test_one_that_never_reads_costs_the_others_nothing(self, start: Start) -> None:
        daemon = start(conversation__max_reply_tokens=4096, llm__context_tokens=8192)
        text = "word " * 1500
        line = b'{"command": "ask", "text": "%s"}\n' % text.encode()
        with connected(daemon, line) as deaf:
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
            assert daemon.do("ask", text="next")[-1]["event"] == "turn"
            assert eventually(lambda: daemon.status()["attentive"] is False)


def _asked_until_there_is_room(daemon: Daemon) -> Message:
    """The daemon frees places as soon as it notices; until then it says to try again."""
    while True:
        with suppress(AttuneError):
            return daemon.do("ask", text="next")[-1]


odd_values = st.sampled_from(
    [
        2**80,
        -1,
        10**9,
        "\ud800",
        "\0",
        "",
        "/dev/null",
        "aligned",
        "promote",
        "rollback",
        "plan",
        "cancel",
    ]
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | odd_values,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=6,
)
FIELDS = (
    "text",
    "audio",
    "route",
    "speed",
    "action",
    "turn",
    "manifest",
    "number",
    "descriptors",
    "x" * 1000,
)
COMMANDS = (
    "status",
    "metrics",
    "ask",
    "listen",
    "correct",
    "enroll",
    "why",
    "generations",
    "adapt",
    "events",
    "reload",
    "dance",
)


def line_of(command: str, arguments: dict[str, object]) -> bytes:
    return (json.dumps({**arguments, "command": command}) + "\n").encode()


lines = st.one_of(
    st.binary(max_size=60).map(lambda data: data.replace(b"\n", b" ") + b"\n"),
    json_values.map(lambda value: (json.dumps(value) + "\n").encode()),
    st.builds(
        line_of,
        st.sampled_from(COMMANDS),
        st.dictionaries(st.sampled_from(FIELDS), json_values, max_size=3),
    ),
)
ODD_REQUESTS = (
    ("ask", {"text": "\ud800"}),
    ("ask", {"text": "\0"}),
    ("ask", {"audio": "a\0b"}),
    ("ask", {"text": "x", "route": "\ud800"}),
    ("listen", {"audio": "/dev/null", "speed": float("nan")}),
    ("listen", {"audio": "\ud800"}),
    ("correct", {"text": "x", "turn": 2**80}),
    ("correct", {"text": "x", "turn": -(2**63)}),
    ("enroll", {"manifest": "a\0b"}),
    ("why", {"number": 2**80}),
    ("why", {"number": int("9" * 400)}),
    ("why", {"number": -1}),
    ("generations", {"action": "promote", "number": int("9" * 400)}),
    ("generations", {"action": "promote", "number": -1}),
    ("generations", {"action": "rollback"}),
)


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    daemon = Daemon(make_settings(tmp_path_factory.mktemp("f")), "done", fake_models)
    with daemon.app:
        yield daemon


def odd_requests(test: Callable[..., None]) -> Callable[..., None]:
    for command, arguments in ODD_REQUESTS:
        test = example(line=line_of(command, dict(arguments)), leaves=False)(test)
    return test


@odd_requests
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(line=lines, leaves=st.booleans())
def test_whatever_is_asked_is_answered_and_the_next_client_too(
    fuzzed: Daemon, line: bytes, leaves: bool, caplog: pytest.LogCaptureFixture
) -> None:
    daemon = fuzzed
    caplog.clear()
    with connected(daemon, line) as connection:
        follows = b'"events"' in line or b'"adapt"' in line
        if not leaves and not follows and line.strip():
            found = answers(connection)
            assert found, "no answer"
            assert found[-1].get("done") or isinstance(found[-1].get("error"), str)
            assert "\n" not in str(found[-1].get("error", ""))
            assert len(str(found[-1])) < 2000
    [status] = daemon.do("status")
    assert status["event"] == "status"
    assert not [record for record in caplog.records if record.exc_info], "a defect, not an answer"


@pytest.mark.parametrize("size", [MAX_LINE_BYTES - 100, MAX_LINE_BYTES, 2 * MAX_LINE_BYTES])
def test_a_request_of_a_mebibyte_is_refused_in_one_line(start: Start, size: int) -> None:
    daemon = start()
    for line in (
        b'{"command": "ask", "text": "%s"}\n',
        b'{"command": "status", "%s": 1}\n',
        b'{"command": ["%s"]}\n',
    ):
        connection = connected(daemon, b"")
        with connection:
            with suppress(BrokenPipeError, ConnectionResetError):
                connection.sendall(line % (b"x" * (size - len(line) + 2)))
            with suppress(ConnectionResetError):
                [found] = answers(connection)
                assert len(str(found["error"])) < 2000
    assert daemon.do("ask", text="next")[-1]["reply"] == "0 next"
