"""`attune demo`: shows what Attune does, on speakers that it makes itself."""

import time
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from ..common import console
from .report import Outcome, report, write_figures, write_picture
from .speaker import FULL, SHORT, Show, run_speaker


def demo(
    folder: Annotated[
        Path, typer.Option(help="Folder to write the speakers, their state and demo.json to.")
    ] = Path("build"),
    full: Annotated[
        bool,
        typer.Option(
            "--full", help="Show a clear speaker as well, and judge by four times as many requests."
        ),
    ] = False,
) -> None:
    """Show the whole loop: a speaker with atypical speech asks, enrols, is learnt and asks again.

    Takes a few minutes and ends with a table of what was heard before and after.
    """
    began = time.monotonic()
    extent = FULL if full else SHORT
    outcomes: dict[str, Outcome] = {}
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=console, refresh_per_second=2) as progress:
        show = Show(progress)
        for name in extent.speakers:
            place = folder.absolute() / "demo" / name
            outcomes[name] = run_speaker(name, place, extent, show)
    for name, outcome in outcomes.items():
        report(name, outcome, console)
    figures = folder / "demo.json"
    write_figures(outcomes, figures)
    write_picture(outcomes, folder / "demo.svg")
    minutes = (time.monotonic() - began) / 60
    console.print(
        f"{minutes:.1f} minutes; the same figures are in {figures}, a picture beside it",
        highlight=False,
    )
