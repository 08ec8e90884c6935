"""The file of MCP servers is read as other programs write it; what is wrong in it is named."""

import json
from pathlib import Path
from typing import Any

import pytest

from daemon.tools.servers_file import read_servers
from engines.errors import AttuneError


def written(folder: Path, text: str, mode: int = 0o600) -> Path:
    path = folder / "mcp.json"
    path.write_text(text)
    path.chmod(mode)
    return path


def test_programs_and_addresses_are_read(tmp_path: Path) -> None:
    servers = {
        "files": {"type": "stdio", "command": "uvx", "args": ["x"], "env": {"A": "b"}},
        "far": {"url": "http://127.0.0.1:1/mcp", "headers": {"A": "b"}, "allow": ["a", "b"]},
    }
    found = read_servers(written(tmp_path, json.dumps({"mcpServers": servers})))
    assert (found["files"].command, found["files"].allow) == ("uvx", [])
    assert found["far"].allow == ["a", "b"]


@pytest.mark.parametrize(
    ("server", "problem"),
    [
        ({}, "either a command or a url"),
        ({"command": "a", "url": "http://b"}, "either a command or a url"),
        ({"url": "ftp://b"}, "mcpServers.x.url"),
        ({"url": "http://user:secret@b"}, "mcpServers.x.url"),
        ({"command": "a", "headers": {"a": "b"}}, "headers belong"),
        ({"url": "http://b", "args": ["c"]}, "args and env belong"),
        ({"command": "a", "without_asking": ["b"]}, "'b', which is not in allow"),
        ({"command": "a", "allowed": ["b"]}, "mcpServers.x.allowed"),
        ({"type": "sse", "url": "http://b"}, "mcpServers.x.type"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, server: dict[str, Any], problem: str) -> None:
    path = written(tmp_path, json.dumps({"mcpServers": {"x": server}}))
    with pytest.raises(AttuneError, match="mcp.json") as failed:
        read_servers(path)
    assert problem in str(failed.value)
    assert "secret" not in str(failed.value)
    assert "\n" not in str(failed.value)


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", "[" * 100_000, '{"mcpServers": {"a b": {"command": "c"}}}', "\x00",
     "x" * 2**21],
)  # fmt: skip
def test_a_file_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(AttuneError, match="mcp.json"):
        read_servers(written(tmp_path, text))


def test_a_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AttuneError, match="chmod 600"):
        read_servers(written(tmp_path, '{"mcpServers": {}}', 0o644))


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(AttuneError, match="No such file"):
        read_servers(tmp_path / "mcp.json")
