"""The command line. Heavy parts are imported by the commands that need them, so that `attune
--help` is quick."""

import faulthandler
import logging
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from engines.device.memory import give_back_freed_memory
from engines.errors import AttuneError

from ..events import Event
from ..plain_text import PlainFormatter, one_line, plain
from ..systemd import JournalFormatter, writes_to_journal
from . import align, bench, calibrate, config, doctor, engines, generations, models
from .common import AsJson, ask_daemon, console, gib, print_json, settings, use_sources
from .demo import demo
from .learn import adapt, correct, enroll
from .streams import complain, tolerate_other_encodings, written_out
from .talk import ask, listen, talk

app = typer.Typer(
    help=(
        "Attune: a voice assistant that learns your voice, on your device, while nobody is talking."
    ),
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        from ..installation import version

        typer.echo(f"attune {version()}")
        raise typer.Exit


@app.callback()
def options(
    config: Annotated[
        Path | None,
        typer.Option(
            help="Read this configuration file instead of the usual ones.", show_default=False
        ),
    ] = None,
    assignments: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Set a configuration key for this command. May be repeated.",
        ),
    ] = None,
    verbose: Annotated[
        bool,
        typer.Option(
            "--verbose", "-v", help="Write a detailed log. It contains transcripts and replies."
        ),
    ] = False,
    show_version: Annotated[
        bool,
        typer.Option(
            "--version", help="Show the version and exit.", callback=_show_version, is_eager=True
        ),
    ] = False,
) -> None:
    """What stands before every command."""
    written = logging.StreamHandler(sys.stderr)
    lines = PlainFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s")
    written.setFormatter(JournalFormatter() if writes_to_journal() else lines)
    logging.basicConfig(level=logging.DEBUG if verbose else logging.WARNING, handlers=[written])
    use_sources(config, assignments or [])


@app.command()
def serve() -> None:
    """Run the daemon in the foreground until SIGTERM or Ctrl-C.

    SIGHUP reloads the settings.
    """
    from ..lifecycle import serve as run
    from ..lifecycle import wishes_of_signals

    give_back_freed_memory()
    faulthandler.enable()  # a watchdog's SIGABRT leaves in the log where every thread was
    if not logging.getLogger().isEnabledFor(logging.INFO):
        logging.getLogger("daemon").setLevel(logging.INFO)
    run(settings, wishes_of_signals())


@app.command()
def reload() -> None:
    """Reload the settings and any newly built engines.

    Requests wait until the reload is done. If the new settings are refused, the old ones stay,
    and the exit code is 1.
    """
    list(ask_daemon({"command": "reload"}))
    [found] = ask_daemon({"command": "status"})  # answered by the daemon that has taken over
    if found["settings_problem"]:
        raise AttuneError(str(found["settings_problem"]))
    typer.echo("the settings were read again")


@app.command()
def status(as_json: AsJson = False) -> None:
    """Show what the daemon hears, answers and learns."""
    [found] = ask_daemon({"command": "status"}, quiet_seconds=10.0)
    if as_json:
        print_json(found)
        return
    for name, text in _status_lines(found):
        console.print(f"[bold]{name:10}[/bold] {escape(text)}", highlight=False, soft_wrap=True)


@app.command()
def metrics() -> None:
    """Print metrics in Prometheus' text format, for a collector that reads text files."""
    [found] = ask_daemon({"command": "metrics"}, quiet_seconds=10.0)
    typer.echo(plain(str(found["text"])), nl=False)


def _status_lines(found: Event) -> list[tuple[str, str]]:
    def part(name: str) -> Event:
        value = found[name]
        return value if isinstance(value, dict) else {}

    listening, counts, learning = part("listening"), part("counts"), part("adaptation")
    source = listening.get("source")
    device = source if isinstance(source, dict) else {}
    heard_by = f"{listening['state']} {device.get('device', '')}".strip()
    if problem := device.get("problem") or listening["problem"]:
        heard_by += f" ({problem})"
    lines = [
        (
            "daemon",
            (
                f"{found['version']}, process {found['process']}, up"
                f" {_minutes(found['uptime_seconds'])}, {found['state_dir']}"
            ),
        ),
        ("hearing", heard_by),
        (
            "route",
            f"{found['route']} ({found['route_reason']})"
            + (", unloaded for a round" if found["unloaded"] else ""),
        ),
        *([("encoder", str(found["encoder"]))] if found["encoder"] else []),
        (
            "heard",
            (
                f"{counts['utterances']} utterances, {_minutes(counts['seconds'])};"
                f" {counts['turns']} turns"
            ),
        ),
        (
            "labels",
            (
                f"{_pairs(counts['labels_by_origin'])}, {counts['unlabelled']} without,"
                f" {counts['new_labels']} new"
            ),
        ),
        *_left_out(part("labels_left_out")),
        (
            "learning",
            f"{learning['state']} {learning['stage']}: {learning['note']}".replace(
                " :", ":"
            ).rstrip(": "),
        ),
    ]
    if learning["pause_latency_ms"] is not None:
        latency = f"99 of 100 within {learning['pause_latency_ms']:.2f} ms of speech"
        lines.append(("yielding", f"training stopped {learning['pauses']} times, {latency}"))
    if learning["most_used_bytes"]:
        sizes = [
            gib(int(str(learning[name])))
            for name in ("most_used_bytes", "predicted_bytes", "budget_bytes")
        ]
        lines.append(("memory", "at most {} in a round, {} predicted, {} allowed".format(*sizes)))
    if shadowed := part("shadow"):
        told = (
            "generation {generation:04d} heard {turns} of {of} turns, {otherwise} of them otherwise"
        )
        lines.append(("shadow", str(shadowed.get("problem") or told.format(**shadowed))))
    if learning["last_outcome"]:
        lines.append(("last round", f"{learning['last_outcome']}: {learning['last_reason']}"))
    problems = found["problems"]
    lines += [
        ("problem", str(problem)) for problem in (problems if isinstance(problems, list) else [])
    ]
    turns = found["last_turns"]
    for turn in turns if isinstance(turns, list) else []:
        first = "no reply" if turn["first_token_ms"] is None else f"{turn['first_token_ms']:.0f} ms"
        lines.append(
            (
                f"turn {turn['id']}",
                f"{turn['route']}, {first}: “{turn['heard']}” → “{turn['reply']}”",
            )
        )
    return lines


def _left_out(labels: Event) -> list[tuple[str, str]]:
    """What is said of labels that no round learns from; nothing where there are none."""
    if not labels.get("count"):
        return []
    return [
        (
            "left out",
            (
                f"{labels['count']} labels, {_reasons(labels['reasons'])}; `attune status --json`"
                " names them"
            ),
        )
    ]


def _reasons(counts: object) -> str:
    return (
        "; ".join(f"{count}: {reason}" for reason, count in counts.items())
        if isinstance(counts, dict)
        else ""
    )


def _minutes(seconds: object) -> str:
    return f"{float(str(seconds)) / 60:.1f} min"


def _pairs(values: object) -> str:
    return (
        ", ".join(f"{count} {name}" for name, count in values.items())
        if isinstance(values, dict) and values
        else "none"
    )


app.command()(ask)
app.command()(listen)
app.command()(talk)
app.command()(enroll)
app.command()(correct)
app.command()(adapt)
app.command()(demo)

app.command()(generations.why)
app.command()(doctor.doctor)
app.add_typer(generations.app, name="generations")
app.add_typer(models.app, name="models")
app.add_typer(engines.app, name="engines")
app.add_typer(align.app, name="align")
app.add_typer(calibrate.app, name="calibrate")
app.add_typer(bench.app, name="bench")
app.add_typer(config.app, name="config")


def main() -> None:
    """Entry point of `attune`: 0 where all went well, 1 with one line for a user's error, 2 for
    wrong usage."""
    tolerate_other_encodings()
    try:
        with written_out():
            app(prog_name="attune")
    except AttuneError as error:
        complain(f"attune: {one_line(str(error))}")
        sys.exit(1)


if __name__ == "__main__":
    main()
