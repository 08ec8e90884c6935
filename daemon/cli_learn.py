"""`attune enroll`, `correct` and `adapt`: where what Attune learns from comes from, and learning itself."""

from itertools import chain
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from engines.errors import AttuneError

from .cli_common import AsJson, ask_daemon, console, errors, print_json_line
from .events import Event


def enroll(
    manifest: Annotated[
        Path, typer.Option("--from", help='JSON lines: {"audio": PATH, "text": TEXT}; paths are relative to the file.')
    ],
    as_json: AsJson = False,
) -> None:
    """Take up recordings of you reading known texts. Good rows are kept; exits with 1 where any was bad."""
    bad = 0
    for event in ask_daemon({"command": "enroll", "manifest": str(manifest.expanduser().absolute())}):
        bad += event["event"] == "bad_row"
        if as_json:
            print_json_line(event)
        elif event["event"] == "bad_row":
            errors.print(escape(str(event["problem"])), highlight=False, soft_wrap=True)
        elif event["event"] == "enrolled_all":
            console.print(
                f"enrolled {event['enrolled']} utterances, {float(str(event['seconds'])) / 60:.1f} minutes", highlight=False
            )
    if bad:
        raise AttuneError(f"{bad} rows were bad; correct them and enrol again, what is enrolled already is not kept twice")


def correct(
    text: Annotated[str, typer.Argument(help="What you really said (quote it).")],
    turn: Annotated[
        int | None, typer.Option("--turn", help="Number of the turn, as `attune status` shows it; the last one if not given.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Say what you meant where Attune misheard; it learns from that."""
    for event in ask_daemon({"command": "correct", "text": text, "turn": turn}):
        if as_json:
            print_json_line(event)
        else:
            console.print(
                f"turn {event['turn']}: heard “{escape(str(event['heard']))}”, you said “{escape(str(event['text']))}”",
                highlight=False,
            )


def adapt(
    now: Annotated[bool, typer.Option("--now", help="Start a round without waiting for an idle window, and follow it.")] = False,
    cancel: Annotated[bool, typer.Option("--cancel", help="End the round that runs; its checkpoint stays.")] = False,
    as_json: AsJson = False,
) -> None:
    """Train on what was said so far, judge the result, and promote it where it is better."""
    if now == cancel:
        raise typer.BadParameter("give either --now or --cancel")
    if cancel:
        for event in ask_daemon({"command": "adapt", "action": "cancel"}):
            if as_json:
                print_json_line(event)
            else:
                console.print("cancelled" if event["state"] != "waiting" else "no round is running")
        return
    last: Event = {}
    bar = Progress(
        TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[note]}"), TimeElapsedColumn(), console=errors
    )
    events = ask_daemon({"command": "adapt"})
    first = next(events)  # where no daemon answers there is no bar either
    with bar:
        task = bar.add_task("waiting", total=1.0, note="")
        for last in chain([first], events):
            if as_json:
                print_json_line(last)
            doing = " ".join(part for part in (str(last["state"]), str(last["stage"])) if part)
            bar.update(task, description=doing, completed=float(str(last["fraction"])), note=escape(str(last["note"])))
    outcome, reason = last.get("outcome"), str(last.get("last_reason", ""))
    if outcome in ("promoted", "refused"):
        if not as_json:
            console.print(escape(reason), highlight=False)
        return
    raise AttuneError(reason or "the daemon stopped before the round had ended; it goes on at the next round")
