"""Real MCP servers are reached as programs and over HTTP; whatever they do costs one sentence."""

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from daemon.tools.servers import CONNECT_SECONDS, MOST_RESULT_CHARACTERS, McpServers
from daemon.tools.servers_file import McpServer
from daemon.tools.tool import Call, Tool
from engines.errors import AttuneError, TurnAbandoned
from tests.support.fake_child import eventually

PROGRAM = {"command": sys.executable, "args": ["-m", "tests.support.mcp_server"]}
ALL = ["get_menu", "order", "wait_long", "burn", "recite", "quit_kitchen"]
PATIENCE_SECONDS = 120.0


@contextmanager
def reached(look_every_seconds: float = 60.0, **servers: dict[str, Any]) -> Iterator[McpServers]:
    given = {name: McpServer.model_validate(one) for name, one in servers.items()}
    found = McpServers(given, look_every_seconds)
    found.start()
    try:
        found.wait(PATIENCE_SECONDS)
        yield found
    finally:
        found.stop()


def of(servers: McpServers, name: str) -> Tool:
    return next(tool for tool in servers.offered if tool.name == name)


@pytest.fixture(scope="module")
def kitchen() -> Iterator[McpServers]:
    with reached(
        kitchen=PROGRAM | {"allow": ALL, "without_asking": ["burn"], "env": {"GUEST": "Ann"}}
    ) as servers:
        assert servers.problems == {}
        yield servers


def test_its_tools_are_listed(kitchen: McpServers) -> None:
    assert {tool.name for tool in kitchen.allowed} == set(ALL)
    order = of(kitchen, "order")
    assert (order.server, order.for_people, order.asks_first) == ("kitchen", "order food", True)
    assert order.described()["function"]["parameters"]["properties"].keys() == {"dish", "plates"}
    assert not of(kitchen, "get_menu").asks_first  # its server says that it changes nothing
    assert not of(kitchen, "burn").asks_first  # the user says that it need not ask


def test_a_tool_answers_in_one_line(kitchen: McpServers) -> None:
    menu = kitchen.call(Call(of(kitchen, "get_menu"), {"day": "Monday"}))
    assert menu == "On Monday there is soup."
    assert kitchen.call(Call(of(kitchen, "order"), {"dish": "soup"})) == "1 of soup, for Ann"


def test_an_answer_is_bounded(kitchen: McpServers) -> None:
    assert len(kitchen.call(Call(of(kitchen, "recite"), {}))) == MOST_RESULT_CHARACTERS


@pytest.mark.parametrize(
    ("name", "arguments"), [("burn", {}), ("get_menu", {}), ("order", {"plates": "many"})]
)
def test_what_fails_is_said(kitchen: McpServers, name: str, arguments: dict[str, Any]) -> None:
    with pytest.raises(AttuneError, match="kitchen"):
        kitchen.call(Call(of(kitchen, name), arguments))
    assert kitchen.call(Call(of(kitchen, "get_menu"), {"day": "now"}))


def test_what_hangs_is_left(kitchen: McpServers) -> None:
    with pytest.raises(AttuneError, match="kitchen does not answer"):
        kitchen.call(Call(of(kitchen, "wait_long"), {}), seconds=0.3)


def test_nobody_waits_for_a_turn_that_was_left(kitchen: McpServers) -> None:
    def leave() -> None:
        raise TurnAbandoned

    with pytest.raises(TurnAbandoned):
        kitchen.call(Call(of(kitchen, "wait_long"), {}), leave)


def test_only_what_is_allowed_is_called() -> None:
    with reached(kitchen=PROGRAM | {"allow": ["get_menu", "fly"]}) as servers:
        assert [tool.name for tool in servers.allowed] == ["get_menu"]
        assert "fly" in servers.problems["kitchen"]
        with pytest.raises(AttuneError, match="not allowed"):
            servers.call(Call(of(servers, "order"), {"dish": "soup"}))


def test_a_server_that_ends_is_started_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("daemon.tools.servers._AGAIN_SECONDS", (0.1,))
    with reached(0.2, kitchen=PROGRAM | {"allow": ALL}) as servers:
        with pytest.raises(AttuneError, match="kitchen"):
            servers.call(Call(of(servers, "quit_kitchen"), {}))

        def cooks_again() -> bool:
            try:
                return bool(servers.call(Call(Tool("kitchen", "get_menu", "", {}), {"day": "x"})))
            except AttuneError:
                return False

        assert eventually(cooks_again)
        assert eventually(lambda: servers.problems == {})


@pytest.mark.parametrize(
    ("server", "problem"),
    [
        ({"command": "/no/such/program"}, "/no/such/program"),
        ({"command": sys.executable, "args": ["-c", "pass"]}, ""),
        ({"command": sys.executable, "args": ["-c", "print('<html>')"]}, ""),
        ({"url": "http://127.0.0.1:9/mcp"}, ""),
    ],
)
def test_one_that_cannot_be_reached_says_why_and_hinders_nobody(
    server: dict[str, Any], problem: str
) -> None:
    with reached(broken=server | {"allow": ["x"]}, kitchen=PROGRAM | {"allow": ALL}) as servers:
        assert problem in servers.problems["broken"]
        assert "kitchen" not in servers.problems
        with pytest.raises(AttuneError, match="cannot be reached"):
            servers.call(Call(Tool("broken", "x", "", {}), {}))
        assert servers.call(Call(of(servers, "get_menu"), {"day": "now"}))


def test_a_server_is_reached_over_http() -> None:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    command = [sys.executable, "-m", "tests.support.mcp_server", str(port)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as program:
        try:

            def listens() -> bool:
                with socket.socket() as one:
                    return one.connect_ex(("127.0.0.1", port)) == 0

            assert eventually(listens)
            url = f"http://127.0.0.1:{port}/mcp"
            with reached(far={"url": url, "headers": {"X": "y"}, "allow": ALL}) as servers:
                assert servers.problems == {}
                menu = servers.call(Call(of(servers, "get_menu"), {"day": "Monday"}))
                assert menu == "On Monday there is soup."
        finally:
            program.kill()


def test_what_a_program_complains_of_is_in_no_log(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with reached(kitchen=PROGRAM):
        pass
    assert "complaint" not in capfd.readouterr().err


def test_one_that_never_answers_holds_up_no_end() -> None:
    silent = McpServer(command=sys.executable, args=["-c", "import time; time.sleep(1000)"])
    servers = McpServers({"silent": silent})
    servers.start()
    assert eventually(lambda: threading.active_count() > 1)
    began = time.monotonic()
    servers.stop()
    assert time.monotonic() - began < CONNECT_SECONDS / 2


def test_what_a_program_writes_is_in_no_log(caplog: pytest.LogCaptureFixture) -> None:
    chatter = {"command": sys.executable, "args": ["-c", "print('adding my biopsy')"]}
    with reached(chatter=chatter):
        pass
    assert "biopsy" not in caplog.text


def test_servers_that_were_never_started_stop() -> None:
    McpServers({}).stop()
