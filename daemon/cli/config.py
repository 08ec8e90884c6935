"""`attune config`: shows the settings and where each was set, and checks them."""

from typing import Annotated

import typer

from ..config.check import check_here
from ..config.settings import described_keys, value_of
from .common import AsJson, console, loaded, print_json, say
from .sheet import Sheet

app = typer.Typer(
    help="Show and check the configuration.",
    no_args_is_help=True,
)


@app.command()
def show(
    origin: Annotated[
        bool, typer.Option("--origin", help="Also show where each value came from.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show every key with its value."""
    found = loaded()
    values = {key: value_of(found.settings, key) for key in described_keys()}
    if as_json:
        shown = (
            {key: {"value": value, "origin": found.origins[key]} for key, value in values.items()}
            if origin
            else values
        )
        print_json(shown)
        return
    headings = ("key", "value", *(["from"] if origin else []), "meaning")
    rows = [
        (key, str(values[key]), *([found.origins[key]] if origin else []), meaning)
        for key, meaning in described_keys().items()
    ]
    console.print(Sheet(headings, rows, {"value", "from", "meaning"}))


@app.command()
def check() -> None:
    """Check the whole configuration.

    The exit code is 1 if something is wrong or missing on this machine.
    """
    found = loaded()
    check_here(found.settings)
    changed = sorted({origin for origin in found.origins.values() if origin != "default"})
    say(f"the configuration is right; read from {', '.join(changed) or 'defaults alone'}")
