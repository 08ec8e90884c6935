"""`attune tokens`: let programs in that speak HTTP."""

import time
from typing import Annotated

import typer

from ..http.tokens import SCOPES, Token, Tokens, checked_scope, tokens_path
from .common import AsJson, console, print_json, settings
from .sheet import Sheet

_EVERY = "; ".join(f"{name}: {about}" for name, about in SCOPES.items())
app = typer.Typer(help="Tokens for programs that reach Attune by HTTP.", no_args_is_help=True)


@app.command()
def add(
    name: Annotated[str, typer.Argument(help="A name by which you know the program.")],
    scope: Annotated[
        list[str] | None,
        typer.Option(help=f"What it may do; give it again for more. {_EVERY}."),
    ] = None,
) -> None:
    """Make a token and print it. It is shown once, and kept nowhere.

    Without --scope it may hear and talk. As soon as there is one token, every program needs one.
    """
    scopes = [checked_scope(one) for one in scope or ("hear", "talk")]
    typer.echo(_tokens().add(name, scopes))


@app.command("list")
def show(as_json: AsJson = False) -> None:
    """List the tokens, without their secrets."""
    found = _tokens().all()
    if as_json:
        print_json([token.model_dump(exclude={"sha256"}) for token in found])
        return
    if not found:
        console.print("there are no tokens; `attune tokens add NAME` makes one", highlight=False)
        return
    console.print(Sheet(("token", "may", "made"), [_row(token) for token in found]))


@app.command()
def remove(name: Annotated[str, typer.Argument(help="Its name.")]) -> None:
    """Withdraw a token. It is not taken any more, at once."""
    _tokens().remove(name)


def _row(token: Token) -> tuple[str, str, str]:
    made = time.strftime("%Y-%m-%d", time.localtime(token.made_unix_seconds))
    return token.name, ", ".join(token.scopes), made


def _tokens() -> Tokens:
    return Tokens(tokens_path(settings().state_dir))
