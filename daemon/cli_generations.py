"""`attune generations`: what was learnt, how it was judged, and which of it is served."""

from collections.abc import Callable
from typing import Annotated

import typer
from rich.table import Table

from engines.card import Score
from engines.errors import AttuneError
from engines.generation import Damaged, Generation, current, list_generations, previous, promote, rollback, usable

from .cli_common import AsJson, ask_daemon, console, print_json, settings
from .client import NoDaemonError
from .events import Event
from .promotion import earned_route

app = typer.Typer(help="Generations: what was learnt, how it was judged, and which of it is served.", no_args_is_help=True)


@app.command("list")
def list_all(as_json: AsJson = False) -> None:
    """Show every generation with its scores. Works without a daemon."""
    root = settings().generations
    places = {"current": _number(lambda: current(root)), "previous": _number(lambda: previous(root))}
    served, _ = usable(root)
    rows = [_described(found, places, served) for found in list_generations(root)]
    if as_json:
        print_json(rows)
        return
    if not rows:
        raise AttuneError(f"there are no generations in {root}; run `attune engines build`")
    table = Table("number", "place", "recipe", "audio", "holdout WER", "cascade WER", "general WER", "earned route")
    for row in rows:
        table.add_row(
            *(str(row[name]) for name in ("number", "place", "recipe", "audio", "holdout", "cascade", "general", "route"))
        )
    console.print(table)


@app.command("promote")
def promote_one(number: Annotated[int, typer.Argument(help="Number of the generation to serve from now on.")]) -> None:
    """Serve this generation; the one served so far becomes the previous one."""
    _move({"command": "generations", "action": "promote", "number": number}, lambda: promote(settings().generations, number))


@app.command("rollback")
def roll_back() -> None:
    """Serve the previous generation again."""
    _move({"command": "generations", "action": "rollback"}, lambda: rollback(settings().generations))


def _move(command: Event, here: Callable[[], Generation]) -> None:
    """Through the daemon, which then serves it at once; where none runs, on the disk, for the next start."""
    try:
        for event in ask_daemon(command):
            typer.echo(f"generation {event['generation']:04d} is current; speech takes the {event['route']} route")
    except NoDaemonError:
        typer.echo(f"generation {here().number:04d} is current from the next start on")


def _number(read: Callable[[], Generation | None]) -> int | None:
    try:
        found = read()
    except AttuneError:
        return None  # the table shows the damage
    return found.number if found else None


def _percent(score: Score) -> str:
    return f"{100 * score.word_error_rate:.1f} %"


def _described(found: Generation | Damaged, places: dict[str, int | None], served: Generation | None) -> Event:
    place = [name for name, number in places.items() if number == found.number]
    if served is not None and served.number == found.number and "current" not in place:
        place.insert(0, "served")
    row: Event = {"number": found.number, "place": ", ".join(place), "folder": str(found.folder)}
    if isinstance(found, Damaged):
        return {**row, "recipe": found.reason, "audio": "", "holdout": "", "cascade": "", "general": "", "route": "damaged"}
    card = found.card
    return {
        **row,
        "recipe": card.recipe,
        "audio": f"{card.trained_seconds_of_audio / 60:.1f} min",
        "holdout": _percent(card.holdout.candidate) if card.holdout else "-",
        "cascade": _percent(card.holdout.cascade) if card.holdout else "-",
        "general": _percent(card.general.candidate) if card.general else "-",
        "route": earned_route(card)[0],
        "card": card.model_dump(mode="json"),
    }
