"""What every command of the command line shares: its settings, its way to the daemon, its two ways
of printing."""

import json
import re
from collections.abc import Generator, Iterable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from pydantic import BaseModel
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from engines.errors import AttuneError

from ..client import socket_client
from ..config.settings import Settings
from ..config.sources import LoadedSettings, load_settings
from ..control.requests import Request
from ..events.event import Event
from ..plain_text import escaped, plain

Kind = TypeVar("Kind", bound=Event)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


class PlainConsole(Console):
    """Prints to a terminal; what came from elsewhere cannot steer it."""

    def render_str(self, text: str, **how: Any) -> Text:
        """As rich's, before the text is measured."""
        return super().render_str(plain(text), **how)

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """As rich's; what rich itself says to the terminal comes as segments of control, or as
        styles."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=plain(segment.text))


console = PlainConsole()
errors = PlainConsole(stderr=True)


@dataclass(frozen=True)
class Sources:
    """What the options before the command said about the configuration."""

    config: Path | None
    flags: Mapping[str, object]


_sources: ContextVar[Sources | None] = ContextVar("sources", default=None)


def use_sources(config: Path | None, assignments: list[str]) -> None:
    """Let the settings of this invocation come from there too. Raises AttuneError for an assignment
    that is none."""
    flags: dict[str, object] = {}
    for assignment in assignments:
        key, equals, value = assignment.partition("=")
        if not equals or not re.fullmatch(r"[a-z_.]+", key):
            raise AttuneError(
                f"--set takes KEY=VALUE, such as conversation.route=cascade, not {assignment!r}"
            )
        flags[key] = value
    _sources.set(Sources(config, flags))


def loaded() -> LoadedSettings:
    """The settings of this invocation. Raises AttuneError where they are wrong."""
    sources = _sources.get() or Sources(None, {})
    return load_settings(sources.config, sources.flags)


def settings() -> Settings:
    """As `loaded`, without the origins."""
    return loaded().settings


def ask_daemon(
    command: Request, quiet_seconds: float | None = 300.0, recording: Path | None = None
) -> Generator[Event, None, None]:
    """Send a command to the daemon of these settings; see `socket_client.ask`."""
    socket = settings().control.socket
    return socket_client.ask(socket, command, quiet_seconds, recording=recording)


def ask_daemon_for(kind: type[Kind], command: Request, quiet_seconds: float | None = 300.0) -> Kind:
    """The one event that answers a command; see `socket_client.ask_for`."""
    return socket_client.ask_for(kind, settings().control.socket, command, quiet_seconds)


def print_json(value: object) -> None:
    """One JSON value on standard output."""
    if isinstance(value, BaseModel):
        value = value.model_dump(mode="json", by_alias=True)
    typer.echo(escaped(json.dumps(value, ensure_ascii=False, indent=2, default=str)))


def print_json_line(value: object) -> None:
    """One JSON value on one line, at once: for commands that go on."""
    if isinstance(value, BaseModel):
        value = value.model_dump(mode="json", by_alias=True)
    typer.echo(escaped(json.dumps(value, ensure_ascii=False, default=str)))


def say(text: str) -> None:
    """Lines on standard output, as they are but for what could steer a terminal."""
    typer.echo(plain(text))


def counted(count: int, thing: str) -> str:
    """How many things there are, for people."""
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"


def gib(size_bytes: int) -> str:
    """A size for people."""
    return f"{size_bytes / 2**30:.2f} GiB"
