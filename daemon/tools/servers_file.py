"""Reads the file that lists MCP servers and what of them is allowed, in the form that other
programs use for theirs: `{"mcpServers": {NAME: …}}`."""

import json
import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError, model_validator

from engines.errors import AttuneError
from engines.schema import Frozen, first_problem

_MOST_BYTES = 1 << 20
_MOST_SERVERS = 16
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_Text = Annotated[str, Field(max_length=4096)]


class McpServer(Frozen):
    """An MCP server: a program that is started, or an address."""

    type: Literal["", "stdio", "http", "streamable-http"] = ""
    """As other programs write it; whether there is a command or a url says the same."""
    command: _Text = ""
    args: list[_Text] = Field(default=[], max_length=64)
    env: dict[str, _Text] = Field(default={})
    url: str = Field("", max_length=2048, pattern=r"^(https?://[^\s@]+)?$")
    headers: dict[str, _Text] = Field(default={})
    allow: list[_Text] = Field(default=[], max_length=128)
    """The names of its tools that may be called. The user is asked before each call, unless the
    server says of the tool that it changes nothing."""
    without_asking: list[_Text] = Field(default=[], max_length=128)
    """Those of `allow` that are called at once all the same."""

    @model_validator(mode="after")
    def _one_way(self) -> "McpServer":
        if bool(self.command) == bool(self.url):
            raise ValueError("give either a command or a url")
        if self.command and self.headers:
            raise ValueError("headers belong to a url")
        if self.url and (self.args or self.env):
            raise ValueError("args and env belong to a command")
        if unknown := sorted(set(self.without_asking) - set(self.allow)):
            raise ValueError(f"without_asking names {unknown[0]!r}, which is not in allow")
        return self


class _File(Frozen):
    servers: dict[str, McpServer] = Field(alias="mcpServers", max_length=_MOST_SERVERS)


def read_servers(path: Path) -> dict[str, McpServer]:
    """Return the servers that the file `path` lists, by name. Raises AttuneError if it cannot be
    read, if others may read or change it, or if something in it is wrong."""
    try:
        mode, size = path.stat().st_mode, path.stat().st_size
        if mode & 0o077:
            raise AttuneError(f"others may read {path}; run `chmod 600 {path}`")
        if size > _MOST_BYTES:
            raise AttuneError(f"{path} has more than {_MOST_BYTES} bytes")
        given = json.loads(path.read_text(encoding="utf-8"))
        servers = _File.model_validate(given).servers
    except ValidationError as error:
        place, problem = first_problem(error)
        raise AttuneError(f"{path}: {place or 'the whole file'}: {problem}") from error
    except (OSError, ValueError, RecursionError) as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise AttuneError(f"the MCP servers cannot be read from {path}: {reason}") from error
    for name in servers:
        if not _NAME.fullmatch(name):
            raise AttuneError(f"{path}: {name!r} is no name of a server; use letters and digits")
    return servers
