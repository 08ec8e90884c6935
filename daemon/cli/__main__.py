"""The command line. Heavy parts are imported by the commands that need them, so that `attune
--help` is quick."""

import faulthandler
import logging
import sys
import threading
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from engines.device.memory import give_back_freed_memory
from engines.errors import AttuneError
from engines.schema import first_problem

from ..discreet_log import log_uncaught
from ..plain_text import PlainFormatter, one_line
from ..systemd import JournalFormatter, writes_to_journal
from . import (
    align,
    calibrate,
    config,
    doctor,
    engines,
    generations,
    models,
    recommend,
    tokens,
    tools,
    users,
    vocabulary,
)
from .bench import command as bench
from .common import settings, use_sources
from .data import command as data
from .data.consent import consent
from .demo.command import demo
from .learn import adapt, correct, enroll
from .spoken import voices, wake
from .spoken.talk import ask, listen, mode, talk
from .status import metrics, reload, status
from .streams import complain, tolerate_other_encodings, written_out

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
    """Take the options that stand before every command, and set up settings and logging."""
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
    from ..lifecycle import keep_files_private, wishes_of_signals
    from ..lifecycle import serve as run

    keep_files_private()
    threading.excepthook = log_uncaught
    give_back_freed_memory()
    faulthandler.enable()  # a watchdog's SIGABRT then writes the stack of each thread to the log
    if not logging.getLogger().isEnabledFor(logging.INFO):
        logging.getLogger("daemon").setLevel(logging.INFO)
    run(settings, wishes_of_signals())


app.command()(reload)
app.command()(status)
app.command()(metrics)
app.command()(ask)
app.command()(listen)
app.command()(talk)
app.command()(mode)
app.command()(voices.say)
app.command()(voices.stop)
app.command()(wake.call)
app.command()(consent)
app.command()(enroll)
app.command()(correct)
app.command()(adapt)
app.command()(demo)

app.command()(generations.why)
app.command()(doctor.doctor)
app.add_typer(generations.app, name="generations")
app.add_typer(data.app, name="data")
app.add_typer(users.app, name="users")
app.add_typer(vocabulary.app, name="vocabulary")
app.add_typer(voices.app, name="voices")
app.add_typer(wake.app, name="wake")
app.add_typer(tokens.app, name="tokens")
app.add_typer(tools.app, name="tools")
app.add_typer(models.app, name="models")
engines.app.command()(recommend.recommend)
app.add_typer(engines.app, name="engines")
app.add_typer(align.app, name="align")
app.add_typer(calibrate.app, name="calibrate")
app.add_typer(bench.app, name="bench")
app.add_typer(config.app, name="config")


def main() -> None:
    """Run `attune`. Exit codes: 0 if all went well, 1 after an error, told in one line, and 2 for
    wrong usage."""
    tolerate_other_encodings()
    try:
        with written_out():
            app(prog_name="attune")
    except AttuneError as error:
        complain(f"attune: {one_line(str(error))}")
        sys.exit(1)
    except ValidationError as error:  # a request has a value that no daemon accepts
        where, what = first_problem(error)
        complain(f"attune: {one_line(f'{where}: {what}')}")
        sys.exit(1)


if __name__ == "__main__":
    main()
