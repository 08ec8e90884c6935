"""What all commands of the command line share: settings, requests to the daemon, and printing as
text or JSON."""

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
from ..config.installation_key import protect_state
from ..config.settings import Settings
from ..config.sources import LoadedSettings, load_settings
from ..control.requests import Request
from ..events.event import Event
from ..plain_text import escaped, plain

Kind = TypeVar("Kind", bound=Event)

OTHER_MACHINE = (
    "planned with figures of another machine; run `attune calibrate memory` to measure this one"
)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


class PlainConsole(Console):
    """A console on which no printed text can steer the terminal."""

    def render_str(self, text: str, **how: Any) -> Text:
        """Make `text` plain before rich measures it."""
        return super().render_str(plain(text), **how)

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Make the text of every segment plain. Rich's own control codes and styles are kept: they
        are not part of the text."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=plain(segment.text))


console = PlainConsole()
errors = PlainConsole(stderr=True)


@dataclass(frozen=True)
class Sources:
    """The configuration file and the `--set` assignments given before the command."""

    config: Path | None
    flags: Mapping[str, object]


_sources: ContextVar[Sources | None] = ContextVar("sources", default=None)


def use_sources(config: Path | None, assignments: list[str]) -> None:
    """Read the settings of this invocation from this file and these `KEY=VALUE` assignments too.
    Raises AttuneError for an assignment in another form."""
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
    """Load the settings of this invocation, each with its origin. Raises AttuneError if they are
    wrong."""
    sources = _sources.get() or Sources(None, {})
    return load_settings(sources.config, sources.flags)


def settings() -> Settings:
    """Load the settings of this invocation. Raises AttuneError if they are wrong."""
    found = loaded().settings
    protect_state(found)
    return found


def ask_daemon(
    command: Request, quiet_seconds: float | None = 300.0, recording: Path | None = None
) -> Generator[Event, None, None]:
    """Send a command to the daemon that the settings name; see `socket_client.ask`."""
    socket = settings().control.socket
    return socket_client.ask(socket, command, quiet_seconds, recording=recording)


def ask_daemon_for(kind: type[Kind], command: Request, quiet_seconds: float | None = 300.0) -> Kind:
    """Send a command and return the event of type `kind` that answers it; see
    `socket_client.ask_for`."""
    return socket_client.ask_for(kind, settings().control.socket, command, quiet_seconds)


def print_json(value: object) -> None:
    """Print one indented JSON value on standard output."""
    if isinstance(value, BaseModel):
        value = value.model_dump(mode="json", by_alias=True)
    typer.echo(escaped(json.dumps(value, ensure_ascii=False, indent=2, default=str)))


def print_json_line(value: object) -> None:
    """Print one JSON value on one line, for commands that print one value after another."""
    if isinstance(value, BaseModel):
        value = value.model_dump(mode="json", by_alias=True)
    typer.echo(escaped(json.dumps(value, ensure_ascii=False, default=str)))


def say(text: str) -> None:
    """Print lines on standard output, without characters that could steer the terminal."""
    typer.echo(plain(text))


def counted(count: int, thing: str) -> str:
    """Return a count with its noun, such as `1 turn` or `2 turns`."""
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"


def gib(size_bytes: int) -> str:
    """Return a size as text, such as `1.50 GiB`."""
    return f"{size_bytes / 2**30:.2f} GiB"
