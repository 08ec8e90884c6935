"""`attune generations` and `attune why`: show what was learnt and how it was judged, and choose
which generation is served."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from engines.errors import AttuneError
from engines.generations.card import Score, training_time
from engines.generations.folder import (
    Damaged,
    Generation,
    judged_against,
    list_generations,
    read_generation,
)
from engines.generations.pointers import current, previous, promote, rollback, shadow, usable

from ..client.socket_client import NoDaemonError
from ..clocks import is_set
from ..control.requests import Explain, MoveGeneration
from ..events.learning import ServingChanged
from ..events.report import GenerationReport, ShadowReport, Why
from ..promotion.report import explained
from ..promotion.verdict import would_refuse
from ..serving.earned_route import earned_route, measured
from ..state_lock import hold_state
from ..store.records import FIRST_USER
from ..store.service_clock import date_of
from ..users.places import generations_of, views
from .common import AsJson, ask_daemon_for, console, errors, gib, print_json, say, settings
from .sheet import Sheet

app = typer.Typer(
    help="Show and choose generations: what was learnt, how it was judged, and what is served.",
    no_args_is_help=True,
)

_ENDED = {
    "promoted": "succeeded",
    "refused": "changed nothing",
    "shadowed": "is still in shadow",
    "cancelled": "was cancelled",
    "failed": "failed",
}


@app.command("list")
def list_all(as_json: AsJson = False) -> None:
    """Show every generation with its scores.

    Works without a daemon.
    """
    root = settings().generations
    places = {
        read.__name__ + ("" if user == FIRST_USER else f" of user {user}"): _number(
            partial(read, view)
        )
        for user, view in views(root).items()
        for read in (current, previous, shadow)
    }
    served, _ = usable(root)
    rows = [_described(found, places, served, root) for found in list_generations(root)]
    if as_json:
        print_json(rows)
        return
    if not rows:
        raise AttuneError(f"there are no generations in {root}; run `attune engines build`")
    headings = (
        "number",
        "place",
        "recipe",
        "audio",
        "holdout WER",
        "cascade WER",
        "general WER",
        "earned route",
    )
    names = ("number", "place", "recipe", "audio", "holdout", "cascade", "general", "route")
    cells = [[str(row[name]) for name in names] for row in rows]
    console.print(Sheet(headings, cells, {"place", "recipe"}))


@app.command()
def show(
    number: Annotated[int, typer.Argument(help="Number of the generation.")],
    as_json: AsJson = False,
) -> None:
    """Show how a generation was made and judged, and which utterances it hears differently.

    Works without a daemon.
    """
    found = explained(read_generation(settings().generations / f"{number:04d}").card, lambda _: "")
    if as_json:
        print_json(found)
    else:
        _print_explained(found)


def why(
    number: Annotated[
        int | None,
        typer.Argument(help="Number of the generation. Default: that of the last round."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Explain why the last round was promoted, refused or given up.

    Also shows which utterances its generation hears differently, and what ends your turns.
    """
    found = ask_daemon_for(Why, Explain(number=number))
    if as_json:
        print_json(found)
        return
    if found.round is not None:
        reason = found.round.reason.removeprefix(f"{found.round.outcome}: ")
        console.print(
            f"the last round {_ENDED[found.round.outcome]}: {escape(reason)}",
            highlight=False,
        )
    if found.generation is not None:
        _print_explained(found.generation)
    if found.problem:
        console.print(escape(found.problem), highlight=False)
    if found.shadow is not None:
        _print_shadow(found.shadow)
    for move in found.moves:
        when = date_of(move.at) if is_set(move.at) else "a time when the clock was not set"
        console.print(
            f"since {when} generation {move.generation:04d}: {escape(move.reason)}",
            highlight=False,
        )
    if found.end_of_turn:
        console.print(escape(found.end_of_turn), highlight=False)


@app.command("promote")
def promote_one(
    number: Annotated[int, typer.Argument(help="Number of the generation to serve from now on.")],
) -> None:
    """Serve this generation.

    The one served so far becomes the previous one.
    """
    _move(
        MoveGeneration(action="promote", number=number),
        lambda: _promote(number),
    )


def _promote(number: int) -> Generation:
    """Let the pointers of whoever's voice generation `number` has learnt name it."""
    root = settings().generations
    user = read_generation(root / f"{number:04d}").card.user
    return promote(generations_of(root, user), number)


@app.command("rollback")
def roll_back() -> None:
    """Serve the previous generation again."""
    _move(MoveGeneration(action="rollback"), lambda: rollback(settings().generations))


def _move(command: MoveGeneration, here: Callable[[], Generation]) -> None:
    """Move the pointer through the daemon, which then serves the generation at once. If none runs,
    move it on the disk, for the next start."""
    try:
        moved = ask_daemon_for(ServingChanged, command)
        say(
            f"generation {moved.generation or 0:04d} is current; speech takes the"
            f" {moved.route} route"
        )
        _warn(moved.warning)
    except NoDaemonError:
        with hold_state(settings().state_dir):  # a daemon that is starting reads the pointers
            chosen = here()
        say(f"generation {chosen.number:04d} is current from the next start on")
        _warn(would_refuse(chosen.card))


def _warn(warning: str) -> None:
    if warning:
        errors.print(f"[yellow]{escape(warning)}[/yellow]", highlight=False, soft_wrap=True)


def _print_explained(found: GenerationReport) -> None:
    made = found.made
    parent = "" if found.parent is None else f" from {found.parent:04d}"
    console.print(
        f"generation {found.generation:04d}{parent}, {made.recipe}: {escape(found.verdict)}",
        highlight=False,
    )
    examples = (
        ", ".join(f"{count} {origin}" for origin, count in made.examples.items())
        or "none of the user's"
    )
    console.print(
        f"made {made.created_at} of {made.minutes_of_audio:.1f} minutes ({examples}):"
        f" {made.steps} steps in {training_time(made.processor_seconds, made.wall_seconds)}, peak"
        f" {gib(made.peak_bytes)}",
        highlight=False,
    )
    for reason, count in found.labels_left_out.items():
        console.print(f"{count} labels were left out: {reason}", highlight=False)
    for one in found.doubted:
        console.print(f"  {one.id[:12]} {escape(one.text)}", highlight=False, soft_wrap=True)
    for told in (found.recogniser, found.projector, found.doubts):
        if told:
            console.print(escape(told), highlight=False, soft_wrap=True)
    scores = []
    for name, judged in found.scores.items():
        rates = map(_percent, (judged.candidate, judged.current, judged.cascade))
        scores.append((name, str(judged.candidate.utterances), *rates))
        if judged.recogniser is not None:
            before = judged.current_recogniser or judged.cascade
            rates = map(_percent, (judged.recogniser, before, judged.cascade))
            scores.append(("  recogniser alone", str(judged.recogniser.utterances), *rates))
    console.print(Sheet(("heard", "utterances", "this one", "the one before", "cascade"), scores))
    changed = []
    for name, utterances in found.changed.items():
        for heard in utterances:
            counts = map(str, (heard.words, heard.candidate, heard.current, heard.cascade))
            changed.append((f"{name} {heard.id[:12]}", *counts, heard.text))
    if changed:
        console.print(
            Sheet(
                ("heard differently", "words", "wrong now", "before", "cascade", "label"),
                changed,
                {"label"},
            )
        )


def _print_shadow(found: ShadowReport) -> None:
    if not found.turns:
        return
    console.print(
        f"in shadow it heard {found.turns} turns; it heard these differently:", highlight=False
    )
    headings = ("turn", "heard", "in shadow", "meant", "would have been answered")
    rows = [
        (str(one.turn), one.heard, one.shadow_heard, one.label or "", one.shadow_reply or "")
        for one in found.otherwise
    ]
    console.print(Sheet(headings, rows, headings[1:]))


def _number(read: Callable[[], Generation | None]) -> int | None:
    try:
        found = read()
    except AttuneError:
        return None  # the table shows the damage
    return found.number if found else None


def _percent(score: Score) -> str:
    return f"{100 * score.word_error_rate:.1f} %"


def _described(
    found: Generation | Damaged,
    places: dict[str, int | None],
    served: Generation | None,
    root: Path,
) -> dict[str, Any]:
    place = [name for name, number in places.items() if number == found.number]
    if served is not None and served.number == found.number and "current" not in place:
        place.insert(0, "served")
    row: dict[str, Any] = {
        "number": found.number,
        "place": ", ".join(place),
        "folder": str(found.folder),
    }
    if isinstance(found, Damaged):
        return {
            **row,
            "recipe": found.reason,
            "audio": "",
            "holdout": "",
            "cascade": "",
            "general": "",
            "route": "damaged",
        }
    card = found.card
    later = judged_against(root, found.number, card.user)
    heard = measured(card, later)
    return {
        **row,
        "recipe": card.recipe,
        "audio": f"{card.trained_seconds_of_audio / 60:.1f} min",
        "holdout": _percent(heard.own) if heard else "-",
        "cascade": _percent(heard.cascade) if heard else "-",
        "general": _percent(card.general.candidate) if card.general else "-",
        "route": earned_route(card, later)[0],
        "card": card.model_dump(mode="json"),
    }
