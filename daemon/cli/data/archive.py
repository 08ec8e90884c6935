"""`attune data export` and `attune data import`."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.progress import Progress

from engines.errors import AttuneError
from engines.files import write_atomically
from engines.models.manifest import settings_folders

from ...config.installation_key import open_state
from ...plain_text import expanded
from ...privacy.archive import open_archive
from ...privacy.export import Exported, export_archive, export_plain
from ...privacy.importing import import_archive, refuse_used
from ...privacy.take_over import take_over
from ...state_lock import hold_state
from ..common import console, counted, settings

_MOST_PASSPHRASE_BYTES = 1024
_LEAST_CHARACTERS = 12
PassphraseFile = Annotated[
    Path | None,
    typer.Option("--passphrase-file", help="Take the passphrase from the first line of this file."),
]


def export(
    target: Annotated[Path, typer.Argument(help="A new file; with --plain a new folder.")],
    plain: Annotated[
        bool,
        typer.Option("--plain", help="Write recordings and texts alone, for other programs."),
    ] = False,
    passphrase_file: PassphraseFile = None,
) -> None:
    """Export all that is stored: recordings, texts, what was learnt, and settings.

    The file is encrypted with a passphrase; `attune data import` reads it on another device.
    With --plain recordings are written as FLAC files, and their texts beside them, for everybody to
    read who can read the folder. What is forgotten later stays in what was exported.
    """
    chosen, path = settings(), expanded(target)
    if plain:
        _tell(export_plain(chosen, path), "recording")
        return
    passphrase = _passphrase(passphrase_file, new=True)
    files = [folder / "attune.toml" for folder in settings_folders()]
    with _progress() as progress:
        task = progress.add_task("exporting", total=1.0)
        done = export_archive(
            chosen,
            [file for file in files if file.is_file()][-1:],
            path,
            passphrase,
            lambda part: progress.update(task, completed=part),
        )
    _tell(done, "file")


def import_(
    source: Annotated[Path, typer.Argument(help="A file that `attune data export` wrote.")],
    passphrase_file: PassphraseFile = None,
) -> None:
    """Import what was exported, on a device where nothing is stored yet and Attune is stopped.

    The settings of the other device are written beside yours, and are not in force.
    """
    chosen, path = settings(), expanded(source)
    with open_archive(path) as archive, hold_state(chosen.state_dir):
        refuse_used(chosen.state_dir)
        passphrase = _passphrase(passphrase_file, new=False)
        take_over(chosen, open_state(chosen))
        with _progress() as progress:
            task = progress.add_task("importing", total=1.0)
            manifest, found = import_archive(
                chosen,
                archive,
                str(path),
                passphrase,
                lambda part: progress.update(task, completed=part),
            )
    console.print(
        f"{counted(len(manifest.files), 'file')} of {manifest.created_at[:10]} imported; start"
        " Attune now",
        highlight=False,
    )
    for name, content in found.items():
        console.print(escape(_write_settings(name, content)), highlight=False, soft_wrap=True)


def _write_settings(name: str, content: bytes) -> str:
    """Put a file of settings beside those in force: folders and devices are others here. Returns
    what became of it."""
    beside = settings_folders()[-1] / f"{name}.imported"
    try:
        beside.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(beside, content)
    except OSError as error:
        return f"the settings of the archive cannot be written: {beside}: {error.strerror}"
    return f"the settings of the other device are in {beside}; copy from them what you want here"


def _progress() -> Progress:
    return Progress(console=console, transient=True, disable=not console.is_terminal)


def _tell(done: Exported, thing: str) -> None:
    told = f"{counted(done.files, thing)}, {done.size_bytes / 1e6:.1f} MB, in {done.path}"
    console.print(escape(told), highlight=False, soft_wrap=True)


def _passphrase(file: Path | None, *, new: bool) -> str:
    """The passphrase, from `file` or as it is typed; a `new` one twice. Raises AttuneError if there
    is none, or a new one is short."""
    if file is not None:
        try:
            with expanded(file).open("rb") as lines:
                text = lines.readline(_MOST_PASSPHRASE_BYTES).decode().rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            raise AttuneError(f"the passphrase cannot be read from {file}: {error}") from error
    elif not sys.stdin.isatty():
        raise AttuneError("there is no terminal to ask for the passphrase; give --passphrase-file")
    else:
        text = typer.prompt("Passphrase", hide_input=True, confirmation_prompt=new)
    if not text or (new and len(text) < _LEAST_CHARACTERS):
        raise AttuneError(
            f"a passphrase has {_LEAST_CHARACTERS} characters or more; four words that do not"
            " belong together are good"
        )
    return text
