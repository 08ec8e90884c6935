"""`attune ask`, `listen` and `talk`: send text or sound to the daemon, and show each reply as it
comes and how long it took."""

import sys
import threading
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.markup import escape
from rich.text import Text

from engines.errors import AttuneError
from engines.wake.words import BUTTON, NONE

from ...client import socket_client
from ...client.socket_client import NoDaemonError
from ...config.choice import choose
from ...control.requests import Ask, Follow, GetStatus, Listen, SetMode
from ...events.event import Event
from ...events.service import Status
from ...events.speaking import ReplySaid
from ...events.turns import (
    Heard,
    ModeChanged,
    RecordingPlayed,
    ReplyPiece,
    ToolCalled,
    TurnAnswered,
    TurnEvent,
    TurnFailed,
    TurnWithdrawn,
)
from ...events.users import UserServed
from ...events.wake import Called
from ...plain_text import expanded
from ..common import (
    AsJson,
    ask_daemon,
    ask_daemon_for,
    console,
    errors,
    loaded,
    print_json_line,
    say,
    settings,
)
from .spoken_meter import SpokenMeter

_SUFFIXES = {
    *(
        ".wav",
        ".flac",
        ".mp3",
        ".ogg",
        ".oga",
        ".opus",
        ".g722",
        ".m4a",
        ".aac",
        ".amr",
        ".aif",
        ".aiff",
        ".au",
        ".caf",
        ".w64",
    ),
    *(".mka", ".mkv", ".webm", ".mp4"),
}
_MAX_TYPED_CHARACTERS = 100_000

RouteOption = Annotated[
    str | None,
    typer.Option(
        "--route", help="Use this route for this request: cascade, aligned, base or previous."
    ),
]
ExpectOption = Annotated[
    list[str] | None,
    typer.Option(
        "--expect",
        metavar="PHRASE",
        help="A word or name that this recording may have. May be repeated.",
    ),
]


def ask(
    words: Annotated[
        str, typer.Argument(metavar="FILE|TEXT", help="A recording, or a text in quotes.")
    ],
    is_text: Annotated[
        bool,
        typer.Option(
            "--text", help="Treat the argument as a text, even if it looks like a file name."
        ),
    ] = False,
    route: RouteOption = None,
    expect: ExpectOption = None,
    as_json: AsJson = False,
) -> None:
    """Ask the daemon something, with a recording or a text, and show the reply as it comes."""
    if not words.strip():
        raise AttuneError("there is nothing to ask; give a text or the path of a recording")
    recording = None if is_text else _recording(words)
    command = Ask(
        text=words if recording is None else None, route=route, expected=tuple(expect or ())
    )
    for event in ask_daemon(command, recording=recording):
        if as_json:
            print_json_line(event)
        else:
            show(event)


def listen(
    recording: Annotated[
        Path, typer.Argument(help="A recording of any length, with pauses between the requests.")
    ],
    speed: Annotated[
        float, typer.Option(help="Playback speed; 1 is real time, 0 is as fast as possible.")
    ] = 0.0,
    route: RouteOption = None,
    expect: ExpectOption = None,
    as_json: AsJson = False,
) -> None:
    """Play a recording to the daemon as if it were spoken into the microphone.

    Shows every turn.
    """
    path = expanded(recording)
    command = Listen(audio=path.name, speed=speed, route=route, expected=tuple(expect or ()))
    for event in ask_daemon(command, recording=path):
        if as_json:
            print_json_line(event)
        else:
            show(event)
        if not isinstance(event, RecordingPlayed):
            continue
        if event.problem:
            raise AttuneError(event.problem)
        if not event.segments and not as_json:
            console.print(
                f"nobody spoke in {escape(str(recording))} ({event.heard_seconds:.1f} s)",
                highlight=False,
                soft_wrap=True,
            )


def talk() -> None:
    """Talk with the daemon: speak into its microphone and hear the reply, or type a line.

    Ctrl-D ends it.
    """
    if sys.stdin is None:
        raise AttuneError(
            "standard input is closed, so nothing can be typed; use `attune ask TEXT`"
        )
    socket = settings().control.socket
    on_screen = console.is_terminal
    following = socket_client.ask(socket, Follow(levels=on_screen), quiet_seconds=60.0)
    # The first event confirms that it follows; if no daemon answers, the command ends here.
    next(following)
    console.print(f"[dim]{escape(_opening(ask_daemon_for(Status, GetStatus())))}[/dim]")
    meter = SpokenMeter(console) if on_screen else None
    thread = threading.Thread(target=_show_what_is_said, args=(following, meter), daemon=True)
    thread.start()
    asked = False
    while line := sys.stdin.readline(_MAX_TYPED_CHARACTERS):
        if not (text := line.removeprefix("\ufeff").strip()):
            continue
        asked = True
        try:
            for event in socket_client.ask(socket, Ask(text=text)):
                show(event)
        except AttuneError as error:
            errors.print(f"[red]{escape(str(error))}[/red]", soft_wrap=True)
    if not asked and not sys.stdin.isatty():
        raise AttuneError(
            "standard input was empty, so nothing was asked; give a line, or use `attune ask TEXT`"
        )


def _opening(status: Status) -> str:
    """The line that says who hears, who speaks, whether it is kept, and how to end."""
    source = status.listening.source
    hears = status.listening.state == "listening" and source is not None and source.connected
    heard = f"speak, {source.device} listens" if hears and source is not None else "no microphone"
    spoken = (
        ""
        if status.speaking.voice == "none" or status.speaking.problem
        else f", {status.speaking.voice} answers"
    )
    if hears and status.wake.word != NONE:
        called = status.wake.phrase or status.wake.word.replace("_", " ")
        by_button = status.wake.word == BUTTON or status.wake.problem
        by = "run `attune call`" if by_button else f"say “{called}”"
        heard = f"{by}, then {heard}"
    typed = "or type" if hears else "type"
    kept = "What is said is kept" if status.keeping.now else "Nothing of what is said is kept"
    return f"{heard}{spoken}; {typed}. {kept}. Ctrl-D ends."


def _show_what_is_said(following: Iterator[Event], meter: SpokenMeter | None) -> None:
    try:
        for event in following:
            if meter is not None:
                meter.take(event)
            # A typed turn is shown by the client that sent it.
            if isinstance(event, Called) or (
                isinstance(event, TurnEvent) and event.source != "text"
            ):
                show(event)
    except AttuneError as error:
        errors.print(f"[red]{escape(str(error))}[/red]")


def show(event: Event) -> None:
    """Print one event of a turn for the user."""
    match event:
        case Heard(text=text) if event.source != "text" and text.strip():
            console.print(
                Text.assemble(("heard ", "bold"), marked(text, event.doubtful)), soft_wrap=True
            )
        case ReplyPiece(text=text):
            console.print(text, end="", markup=False, highlight=False, soft_wrap=True)
        case TurnAnswered():
            _show_turn(event)
        case Called(by=by):
            console.print(f"[dim]called by {escape(by)}; speak[/dim]", highlight=False)
        case ToolCalled(server=server, tool=tool, arguments=arguments):
            given = ", ".join(f"{name}={value!r}" for name, value in arguments.items())
            console.print(Text(f"{server}: {tool}({given})", "dim"), soft_wrap=True)
        case UserServed(name=name, confidence=confidence):
            sure = "" if confidence is None else f", {confidence:.0%} sure by the voice"
            console.print(f"{escape(name)} is served{sure}", highlight=False)
        case TurnWithdrawn():
            console.print("[dim]you go on; the answer is withdrawn[/dim]")
        case ReplySaid(problem=problem) if problem:
            errors.print(f"[yellow]not said aloud: {escape(problem)}[/yellow]", soft_wrap=True)
        case TurnFailed(problem=problem):
            errors.print(f"[red]{escape(problem)}[/red]", soft_wrap=True)
        case _:
            pass


def marked(text: str, doubtful: Collection[int]) -> Text:
    """`text` with a question mark, and a colour, at each word that may be another."""
    words = [
        (f"{word}(?)", "yellow") if place in doubtful else (word, "")
        for place, word in enumerate(text.split())
    ]
    spaced = [part for word in words for part in (word, (" ", ""))][:-1]
    return Text.assemble(*spaced)


def _show_turn(turn: TurnAnswered) -> None:
    first = turn.first_token_ms
    took = (
        f"{first:.0f} ms to the first word"
        if first is not None
        else "no reply"
        if turn.heard
        else "nothing understood"
    )
    heard = f", heard: {turn.heard}" if turn.route == "aligned" and turn.heard else ""
    cut = ", interrupted" if turn.interrupted else ""
    sure = f", {turn.confidence:.0%} sure" if turn.confidence is not None else ""
    line = escape(f"{turn.route} route, {took}{cut}{sure}{heard}")
    console.print(
        f"{chr(10) if turn.reply else ''}[dim]{line}[/dim]", highlight=False, soft_wrap=True
    )
    if turn.warning is not None:
        errors.print(f"[yellow]{escape(turn.warning)}[/yellow]", soft_wrap=True)


def _recording(words: str) -> Path | None:
    """Return the path that `words` name, or None if they are a text.

    An existing file is a recording. Raises AttuneError if `words` look like the path of a file that
    does not exist.
    """
    try:
        path = Path(words).expanduser()
        there = path.exists()
    # `words` are too long for a path, or begin with ~ and a name that is not a user's.
    except (OSError, RuntimeError, ValueError):
        return None
    begins_as_path = words.startswith(("/", "./", "../", "~/")) and " " not in words
    if there and (begins_as_path or not path.is_dir()):
        return path
    if begins_as_path or path.suffix.lower() in _SUFFIXES:
        raise AttuneError(
            f"{words} does not exist; give the path of a recording, or `attune ask --text` to ask"
            " it as a text"
        )
    return None


def mode(
    name: Annotated[
        Literal["assistant", "repeat", "dictate"] | None,
        typer.Argument(help="assistant, repeat or dictate.", show_default=False),
    ] = None,
) -> None:
    """Show or change what is done with what is heard.

    assistant answers it; repeat says it again in a clear voice, for whoever is opposite; dictate
    only writes it, for `attune talk` or another client to show. The choice outlives a restart.
    """
    if name is None:
        say(ask_daemon_for(Status, GetStatus()).mode)
        return
    choice = choose("mode", "conversation.mode", name, "attune mode", loaded)
    with suppress(NoDaemonError):
        ask_daemon_for(ModeChanged, SetMode(mode=name))
    say(f"{name} (set in {choice.path})")
