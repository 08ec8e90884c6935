"""What every command of the command line shares: its settings, its way to the daemon, its two ways of printing."""

import json
import re
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from engines.errors import AttuneError

from .client import request
from .config import Settings
from .config_sources import LoadedSettings, load_settings
from .events import Event

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]

console = Console()
errors = Console(stderr=True)


@dataclass(frozen=True)
class Sources:
    """What the options before the command said about the configuration."""

    config: Path | None
    flags: Mapping[str, object]


_sources: ContextVar[Sources | None] = ContextVar("sources", default=None)


def use_sources(config: Path | None, assignments: list[str]) -> None:
    """Let the settings of this invocation come from there too. Raises AttuneError for an assignment that is none."""
    flags: dict[str, object] = {}
    for assignment in assignments:
        key, equals, value = assignment.partition("=")
        if not equals or not re.fullmatch(r"[a-z_.]+", key):
            raise AttuneError(f"--set takes KEY=VALUE, such as conversation.route=cascade, not {assignment!r}")
        flags[key] = value
    _sources.set(Sources(config, flags))


def loaded() -> LoadedSettings:
    """The settings of this invocation. Raises AttuneError where they are wrong."""
    sources = _sources.get() or Sources(None, {})
    return load_settings(sources.config, sources.flags)


def settings() -> Settings:
    """As `loaded`, without the origins."""
    return loaded().settings


def ask_daemon(command: Event, quiet_seconds: float | None = 300.0) -> Iterator[Event]:
    """Send a command to the daemon of these settings; paths in it must be absolute, the daemon has its own working folder."""
    return request(settings().control.socket, command, quiet_seconds)


def print_json(value: object) -> None:
    """One JSON value on standard output."""
    typer.echo(json.dumps(value, ensure_ascii=False, indent=2, default=str))


def print_json_line(value: object) -> None:
    """One JSON value on one line, at once: for commands that go on."""
    typer.echo(json.dumps(value, ensure_ascii=False, default=str))


def gib(size_bytes: int) -> str:
    """A size for people."""
    return f"{size_bytes / 2**30:.2f} GiB"
