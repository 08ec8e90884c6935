"""A whole daemon on tiny engines that serves HTTP, and requests to it."""

import http.client
import json
import socket
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from daemon.app import App, Surroundings
from daemon.config.settings import Settings
from daemon.http.tokens import Tokens, tokens_path
from tests.support.consent import agree
from tests.support.fake_child import eventually
from tests.support.fake_speech import speaking_surroundings
from tests.support.running_daemon import make_settings

SECONDS = 120


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def events(self) -> list[Any]:
        """What came as an event stream, without its end."""
        lines = [line[6:] for line in self.body.decode().split("\n") if line.startswith("data: ")]
        return [json.loads(line) for line in lines if line != "[DONE]"]

    @property
    def error(self) -> str:
        """What went wrong."""
        return str(self.json["error"]["message"])


def free_port() -> int:
    """A port of this machine that nothing has."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


class HttpClient:
    """Sends requests to a port of this machine."""

    def __init__(self, port: int) -> None:
        self.port = port

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=SECONDS)
        try:
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            named = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, named, response.read())
        finally:
            connection.close()

    def get(self, path: str, **headers: str) -> Answer:
        return self.ask("GET", path, None, {k.replace("_", "-"): v for k, v in headers.items()})

    def post(self, path: str, what: Any, **headers: str) -> Answer:
        named = {k.replace("_", "-"): v for k, v in headers.items()}
        named.setdefault("Content-Type", "application/json")
        return self.ask("POST", path, json.dumps(what).encode(), named)

    def upload(self, path: str, recording: bytes, **fields: str) -> Answer:
        mark = uuid.uuid4().hex
        parts = [
            f'--{mark}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
            for name, value in fields.items()
        ]
        head = 'Content-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'
        parts.append(f"--{mark}\r\n{head}".encode() + recording + b"\r\n")
        body = b"".join(parts) + f"--{mark}--\r\n".encode()
        kind = {"Content-Type": f"multipart/form-data; boundary={mark}"}
        return self.ask("POST", path, body, kind)

    def chat(self, *words: str, **more: Any) -> Answer:
        """Ask with `words`, said in turn by the user and by the assistant."""
        roles = ("user", "assistant")
        messages = [{"role": roles[n % 2], "content": text} for n, text in enumerate(words)]
        return self.post("/v1/chat/completions", {"messages": messages, **more})


class HttpHouse(HttpClient):
    """A daemon that serves HTTP on some port of this machine."""

    def __init__(self, folder: Path, surroundings: Surroundings, **flags: object) -> None:
        super().__init__(free_port())
        self.settings: Settings = make_settings(
            folder,
            **{"speaking.voice": "hum", "http.address": f"127.0.0.1:{self.port}", **flags},
        )
        agree(self.settings.state_dir)
        self.app = App(self.settings, surroundings)

    @property
    def tokens(self) -> Tokens:
        return Tokens(tokens_path(self.settings.state_dir))


Start = Callable[..., HttpHouse]


@pytest.fixture
def start_house(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Starts daemons that are stopped after the test."""
    # Another program may have the port for a moment.
    monkeypatch.setattr("daemon.port_problem.RETRY_SECONDS", 0.05)
    started: list[HttpHouse] = []

    def run(surroundings: Surroundings | None = None, **flags: object) -> HttpHouse:
        house = HttpHouse(folder, surroundings or speaking_surroundings(), **flags)
        started.append(house)
        house.app.__enter__()
        if "http__address" not in flags:
            assert eventually(lambda: house.app.status().problems == ())
        return house

    yield run
    for one in started:
        one.app.__exit__()
