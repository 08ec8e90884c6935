"""`attune enroll`, `correct` and `adapt`: give Attune recordings and corrections to learn from, and
run rounds."""

from itertools import chain
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from engines.errors import AttuneError
from engines.models.enrolment_prompts import enrolment_prompts

from ..client.enrolling import enroll as enroll_manifest
from ..control.requests import Adapt, Correct, GetStatus
from ..events.enrolment import BadRow, Corrected, EnrolledAll
from ..events.learning import AdaptationChanged, RoundPlanned
from ..events.service import Status
from ..plain_text import expanded
from ..privacy.consent import HOW
from .common import (
    OTHER_MACHINE,
    AsJson,
    ask_daemon,
    ask_daemon_for,
    console,
    counted,
    errors,
    gib,
    print_json_line,
    settings,
)
from .data.consent import ensure_agreed
from .sheet import Sheet


def enroll(
    manifest: Annotated[
        Path | None,
        typer.Option(
            "--from",
            help=(
                'Manifest of JSON lines: {"audio": PATH, "text": TEXT}. Paths are '
                "relative to the manifest."
            ),
        ),
    ] = None,
    prompts: Annotated[
        Path | None,
        typer.Option(
            "--prompts",
            help="Write sentences that are worth reading into this new file, one on each line.",
        ),
    ] = None,
    replace: Annotated[
        bool,
        typer.Option(
            "--replace",
            help="Replace the texts of recordings that were enrolled before.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Enrol recordings of you reading known texts.

    Valid rows are stored. The exit code is 1 if any row was invalid.
    """
    if (manifest is None) == (prompts is None):
        raise typer.BadParameter("give --from or --prompts")
    if prompts is not None:
        _write_prompts(expanded(prompts))
        return
    assert manifest is not None
    ensure_agreed()
    bad = 0
    for event in enroll_manifest(settings().control.socket, expanded(manifest), replace):
        bad += isinstance(event, BadRow)
        if as_json:
            print_json_line(event)
        elif isinstance(event, BadRow):
            errors.print(escape(event.problem), highlight=False, soft_wrap=True)
        elif isinstance(event, EnrolledAll):
            enrolled = counted(event.enrolled, "utterance")
            whose = f" of {escape(event.user)}" if event.user else ""
            console.print(
                f"enrolled {enrolled}{whose}, {event.seconds / 60:.1f} minutes", highlight=False
            )
    if bad:
        were = "1 row was" if bad == 1 else f"{bad} rows were"
        raise AttuneError(
            f"{were} bad; correct the manifest and enrol it again: rows that are enrolled already"
            " are not stored twice"
        )


def _write_prompts(path: Path) -> None:
    sentences = enrolment_prompts()
    try:
        with path.open("x", encoding="utf-8") as file:
            file.writelines(f"{sentence}\n" for sentence in sentences)
    except OSError as error:
        raise AttuneError(f"{path} cannot be written: {error.strerror}") from error
    console.print(f"wrote {len(sentences)} sentences", highlight=False)


def correct(
    text: Annotated[str, typer.Argument(help="What you really said, in quotes.")],
    turn: Annotated[
        int | None,
        typer.Option(
            "--turn",
            help="Number of the turn, as `attune status` shows it. Default: the last spoken turn.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Correct what Attune misheard.

    It learns from your corrections.
    """
    if not text.strip():
        raise AttuneError("the correction is empty; give what you really said")
    corrected = ask_daemon_for(Corrected, Correct(text=text, turn=turn))
    if as_json:
        print_json_line(corrected)
        return
    console.print(
        f"turn {corrected.turn}: heard “{escape(corrected.heard)}”, you said"
        f" “{escape(corrected.text)}”",
        highlight=False,
        soft_wrap=True,
    )


def adapt(
    now: Annotated[
        bool,
        typer.Option(
            "--now", help="Start a round now, without waiting for an idle moment, and follow it."
        ),
    ] = False,
    cancel: Annotated[
        bool, typer.Option("--cancel", help="Stop the running round. Its checkpoint is kept.")
    ] = False,
    plan: Annotated[
        bool, typer.Option("--plan", help="Show what a round would need now, without starting one.")
    ] = False,
    if_new: Annotated[
        bool,
        typer.Option(
            "--if-new",
            help=(
                "With --now: start only if idle.enabled is true, you have agreed to it, and there"
                " are new labels since the last round."
            ),
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Start, cancel or plan a round.

    A round trains on what was said, judges the result, and promotes it if it is better. With
    --plan, the exit code is 1 if a round does not fit its memory budget.
    """
    if now + cancel + plan != 1:
        raise typer.BadParameter("give one of --now, --cancel and --plan")
    if plan:
        _show_plan(ask_daemon_for(RoundPlanned, Adapt(action="plan")), as_json)
        return
    if cancel:
        status = ask_daemon_for(AdaptationChanged, Adapt(action="cancel"))
        if as_json:
            print_json_line(status)
        else:
            console.print("cancelled" if status.state != "waiting" else "no round is running")
        return
    if if_new and not settings().idle.enabled:
        console.print("rounds start on request only: idle.enabled is false")
        return
    if if_new:
        found = ask_daemon_for(Status, GetStatus())
        if not found.keeping.agreed:
            console.print(f"nothing is learned: you have not agreed to it ({HOW})")
            return
        if not found.counts.new_labels:
            console.print("there is nothing new to learn")
            return
    last: AdaptationChanged | None = None
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[note]}"),
        TimeElapsedColumn(),
        console=errors,
    )
    events = ask_daemon(Adapt())
    first = next(events)  # fails here, before there is a bar, if no daemon answers
    with bar:
        task = bar.add_task("waiting", total=1.0, note="")
        for event in chain([first], events):
            if as_json:
                print_json_line(event)
            if not isinstance(event, AdaptationChanged):
                continue
            last = event
            bar.update(
                task,
                description=" ".join(part for part in (last.state, last.stage) if part),
                completed=last.fraction,
                note=escape(last.note),
            )
    reason = last.last_reason if last is not None else ""
    if last is not None and last.outcome in ("promoted", "refused", "shadowed"):
        if not as_json:
            console.print(escape(reason), highlight=False)
        return
    raise AttuneError(
        reason or "the daemon stopped before the round had ended; the next round continues it"
    )


def _show_plan(made: RoundPlanned, as_json: bool) -> None:
    """Print a plan. Raises AttuneError if it is refused."""
    if as_json:
        print_json_line(made)
    else:
        rows = []
        for stage in made.stages:
            peak = Text(
                gib(stage.peak_bytes),
                "red" if stage.peak_bytes > made.budget_bytes else "",
            )
            rows.append((stage.name, gib(stage.predicted_bytes), peak, f"{stage.seconds / 60:.1f}"))
        console.print(Sheet(("stage", "predicted", "with room", "minutes"), rows))
        minutes = sum(stage.seconds for stage in made.stages) / 60
        ways = (
            [f"each step in {made.micro_batches} micro-batches"] if made.micro_batches != 1 else []
        )
        ways += ["the serving models unloaded"] if made.unloads else []
        line = f"{gib(made.peak_bytes)} of {gib(made.budget_bytes)}, about {minutes:.0f} minutes"
        console.print(", ".join([line, *ways]), highlight=False)
        if not made.measured_here:
            console.print(OTHER_MACHINE, highlight=False)
    if made.refusal:
        raise AttuneError(
            f"{made.refusal}; `attune engines recommend` tells what other speech models take"
        )
