"""`attune users`: the people who use Attune, told apart by their voices."""

from datetime import date
from typing import Annotated

import typer
from rich.markup import escape

from engines.errors import AttuneError
from engines.voiceprint.profile import LEAST_ENROLLED

from ..control.requests import AssignUtterances, ManageUsers
from ..events.users import UsersListed, UserStatus, UtterancesMoved
from .common import AsJson, ask_daemon_for, console, counted, print_json
from .data.names import checked_name
from .sheet import Sheet

Name = Annotated[str, typer.Argument(help="Their name.")]
Recordings = Annotated[
    list[str], typer.Argument(help="Recordings, as `attune data list` names them.")
]
app = typer.Typer(
    help="The people who use Attune, told apart by their voices. That is no lock: a recording or a"
    " voice that is alike may pass.",
    no_args_is_help=True,
)


@app.command("list")
def list_users(as_json: AsJson = False) -> None:
    """List the users, and what is known of their voices."""
    found = ask_daemon_for(UsersListed, ManageUsers())
    if as_json:
        print_json(found)
        return
    _show(found)


@app.command()
def add(name: Name) -> None:
    """Add a user. `attune users switch` serves them, then `attune enroll` learns their voice."""
    ask_daemon_for(UsersListed, ManageUsers(action="add", name=name))
    console.print(
        f"{escape(name)} is a user; `attune users switch {escape(name)}`, then `attune enroll`",
        highlight=False,
        soft_wrap=True,
    )


@app.command()
def switch(name: Name) -> None:
    """Serve a user: hear with what was learnt of their voice, and keep what is said as theirs."""
    ask_daemon_for(UsersListed, ManageUsers(action="serve", name=name))
    console.print(f"{escape(name)} is served", highlight=False)


@app.command()
def rename(name: Name, to: Annotated[str, typer.Argument(help="The new name.")]) -> None:
    """Give a user another name."""
    ask_daemon_for(UsersListed, ManageUsers(action="rename", name=name, to=to))


@app.command()
def merge(
    name: Name,
    into: Annotated[str, typer.Argument(help="The user who has the recordings of both then.")],
) -> None:
    """Make two users one, who were one person all the time."""
    _moved(ManageUsers(action="merge", name=name, to=into))


@app.command()
def split(
    name: Name,
    new: Annotated[str, typer.Argument(help="The other user, who may be new.")],
    recordings: Recordings,
) -> None:
    """Make one user two: give all that sounds like these recordings to the other.

    What was learnt of both voices serves until the next round, or until `attune generations
    promote`.
    """
    _moved(ManageUsers(action="split", name=name, to=new, utterances=_named(recordings)))


@app.command()
def assign(
    recordings: Recordings,
    to: Annotated[str | None, typer.Option("--to", help="The user whose voice they are.")] = None,
    nobody: Annotated[
        bool, typer.Option("--nobody", help="They are the voice of no user.")
    ] = False,
) -> None:
    """Say whose voice recordings are, where Attune could not tell or was wrong."""
    if (to is None) != nobody:
        raise AttuneError("give either --to NAME or --nobody")
    moved = ask_daemon_for(
        UtterancesMoved, AssignUtterances(utterances=_named(recordings), user=to)
    )
    whose = escape(moved.name) or "no user"
    console.print(f"{counted(moved.count, 'recording')}: the voice of {whose}", highlight=False)


def _moved(request: ManageUsers) -> None:
    moved = ask_daemon_for(UtterancesMoved, request)
    console.print(
        f"{counted(moved.count, 'recording')} given to {escape(moved.name)}; `attune adapt` learns"
        " from them",
        highlight=False,
        soft_wrap=True,
    )


def _named(recordings: list[str]) -> tuple[str, ...]:
    return tuple(checked_name(name) for name in recordings)


def _show(found: UsersListed) -> None:
    rows = [_row(user) for user in found.users]
    console.print(Sheet(("user", "since", "recordings", "generation", ""), rows, sentences=("",)))
    others = [
        (found.strangers, "of other voices, which nothing learns from"),
        (found.unclear, "of which it is not clear whose voice they are"),
        (found.not_looked_at, "that are looked at when it is quiet"),
    ]
    for count, what in others:
        if count:
            console.print(f"{counted(count, 'recording')} {what}", highlight=False, soft_wrap=True)
    if len(found.users) > 1 and not found.by_voice:
        console.print("users.by_voice is false: only you say who is served", highlight=False)


def _row(user: UserStatus) -> tuple[str, ...]:
    notes = ["is served"] if user.served else []
    if not user.known_by_voice:
        notes.append(
            "the voice is learnt once it is quiet"
            if user.enrolled >= LEAST_ENROLLED
            else f"{LEAST_ENROLLED} enrolled recordings make the voice known"
        )
    if user.doubtful:
        names = ", ".join(name[:8] for name in user.doubtful[:3])
        notes.append(f"{counted(len(user.doubtful), 'recording')} sound otherwise: {names}")
    return (
        user.name,
        date.fromtimestamp(user.since).isoformat(),
        f"{user.enrolled}, {user.by_voice} by voice",
        "" if user.generation is None else f"{user.generation:04d}",
        "; ".join(notes),
    )
