"""`attune ask` and `attune talk`: words in, the reply as it comes out, and how long it took."""

import sys
import threading
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from engines.errors import AttuneError

from .cli_common import AsJson, ask_daemon, console, errors, print_json_line, settings
from .client import request
from .events import Event

_SUFFIXES = {".wav", ".flac", ".mp3", ".ogg", ".opus", ".g722", ".m4a"}

RouteOption = Annotated[str | None, typer.Option("--route", help="Take this route (cascade or aligned) for once.")]


def ask(
    words: Annotated[str, typer.Argument(metavar="FILE|TEXT", help="A recording, or a text (quote it).")],
    route: RouteOption = None,
    as_json: AsJson = False,
) -> None:
    """Ask the daemon something, by a recording or by text, and show the reply as it comes."""
    path = Path(words).expanduser()
    command: Event = {"command": "ask", "route": route}
    if _is_recording(path, words):
        command["audio"] = str(path.absolute())
    else:
        command["text"] = words
    for event in ask_daemon(command):
        if as_json:
            print_json_line(event)
        else:
            show(event)


def listen(
    recording: Annotated[Path, typer.Argument(help="A recording of any length, with pauses between what is said.")],
    speed: Annotated[float, typer.Option(help="Times faster than real time; 0 does not wait.")] = 0.0,
    route: RouteOption = None,
    as_json: AsJson = False,
) -> None:
    """Play a recording to the daemon as if it were said into the microphone, and show every turn."""
    for event in ask_daemon(
        {"command": "listen", "audio": str(recording.expanduser().absolute()), "speed": speed, "route": route}
    ):
        if as_json:
            print_json_line(event)
        else:
            show(event)


def talk() -> None:
    """Talk with the daemon: type a line, or speak into its microphone. End with Ctrl-D."""
    socket = settings().control.socket
    following = request(socket, {"command": "events"}, quiet_seconds=60.0)
    next(following)  # the first event says that it follows; where no daemon answers, the command ends here
    thread = threading.Thread(target=_show_what_is_said, args=(following,), daemon=True)
    thread.start()
    console.print("[dim]Type, or speak. Ctrl-D ends.[/dim]")
    for line in sys.stdin:
        if not (text := line.strip()):
            continue
        try:
            for event in request(socket, {"command": "ask", "text": text}):
                show(event)
        except AttuneError as error:
            errors.print(f"[red]{escape(str(error))}[/red]")


def _show_what_is_said(following: object) -> None:
    try:
        for event in following:  # type: ignore[attr-defined]
            if event.get("source") != "text":  # what was typed is shown where it was typed
                show(event)
    except AttuneError as error:
        errors.print(f"[red]{escape(str(error))}[/red]")


def show(event: Event) -> None:
    """Show one event to a person."""
    text = str(event.get("text", ""))
    match event["event"]:
        case "heard" if event["source"] != "text":
            console.print(f"[bold]heard[/bold] {escape(text)}", highlight=False, soft_wrap=True)
        case "token":
            console.print(text, end="", markup=False, highlight=False, soft_wrap=True)
        case "turn":
            _show_turn(event)
        case "turn_failed":
            errors.print(f"[red]{escape(str(event['problem']))}[/red]")
        case "listened" if event["problem"]:
            errors.print(f"[red]{escape(str(event['problem']))}[/red]")
        case _:
            pass


def _show_turn(event: Event) -> None:
    first = event["first_token_ms"]
    took = "nothing understood" if first is None else f"{float(str(first)):.0f} ms to the first word"
    heard = f", heard: {event['heard']}" if event["route"] == "aligned" else ""
    cut = ", interrupted" if event["interrupted"] else ""
    sure = f", {float(str(event['confidence'])):.0%} sure" if event["confidence"] is not None else ""
    line = escape(f"{event['route']} route, {took}{cut}{sure}{heard}")
    console.print(f"\n[dim]{line}[/dim]", highlight=False, soft_wrap=True)
    if "warning" in event:
        errors.print(f"[yellow]{escape(str(event['warning']))}[/yellow]")


def _is_recording(path: Path, words: str) -> bool:
    """Whether `words` mean a file: one that is there, or what can only be a path."""
    try:
        return path.is_file() or ("/" in words and " " not in words) or path.suffix.lower() in _SUFFIXES
    except OSError:  # a text too long to be a path
        return False
