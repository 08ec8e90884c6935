"""`attune vocabulary`: tell Attune names and words that it should expect to hear."""

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from engines.errors import AttuneError

from ..control.requests import ChangeVocabulary, NewPhrase
from ..events.vocabulary import VocabularyListed
from ..plain_text import expanded
from ..store.personal_vocabulary import MAX_PHRASES, MAX_WEIGHT, checked_phrase
from .common import AsJson, ask_daemon, ask_daemon_for, console, counted, print_json
from .sheet import Sheet

app = typer.Typer(help="Names and words that Attune should expect to hear.", no_args_is_help=True)

_LARGEST_IMPORT = 1 << 20
Phrases = Annotated[
    list[str], typer.Argument(metavar="PHRASE...", help="Words or names; quote those with spaces.")
]
Weight = Annotated[
    float,
    typer.Option(
        min=0.01, max=MAX_WEIGHT, help="How much more they are expected than other words."
    ),
]


@app.command()
def add(
    phrases: Phrases,
    weight: Weight = 1.0,
    recording: Annotated[
        Path | None,
        typer.Option(
            help="A recording of the phrase alone, as you say it; helps if it is misheard."
        ),
    ] = None,
) -> None:
    """Add words or names: people, rooms, medicines, songs.

    They work from the next request on.
    """
    command = ChangeVocabulary(add=tuple(NewPhrase(text=one, weight=weight) for one in phrases))
    [done] = ask_daemon(command, recording=expanded(recording) if recording else None)
    assert isinstance(done, VocabularyListed)
    _tell(done)
    if recording is not None:
        wanted = checked_phrase(phrases[0]).casefold()
        heard = next(one.heard_as for one in done.phrases if one.text.casefold() == wanted)
        console.print(f'it sounds to Attune like "{escape(heard[-1])}"', highlight=False)


@app.command()
def remove(phrases: Phrases) -> None:
    """Remove words or names."""
    _tell(ask_daemon_for(VocabularyListed, ChangeVocabulary(remove=tuple(phrases))))


@app.command("list")
def show(as_json: AsJson = False) -> None:
    """List the vocabulary."""
    found = ask_daemon_for(VocabularyListed, ChangeVocabulary())
    if as_json:
        print_json(found)
        return
    if not found.phrases:
        console.print("the vocabulary is empty; `attune vocabulary add NAME` adds to it")
        return
    rows = [(one.text, f"{one.weight:g}", ", ".join(one.heard_as)) for one in found.phrases]
    console.print(Sheet(("phrase", "weight", "heard as"), rows, sentences=("heard as",)))


@app.command("import")
def import_file(
    file: Annotated[
        Path,
        typer.Argument(
            help="A text file with a phrase on each line; after a tab, its weight.",
            exists=True,
            dir_okay=False,
        ),
    ],
) -> None:
    """Add the phrases of a file, or none if a line is bad."""
    _tell(ask_daemon_for(VocabularyListed, ChangeVocabulary(add=tuple(_read(file)))))


def _read(file: Path) -> list[NewPhrase]:
    """Read the phrases of a file. Raises AttuneError that names the first bad line."""
    try:
        content = file.read_bytes()
        if len(content) > _LARGEST_IMPORT:
            raise AttuneError(f"{file} is larger than 1 MiB; give a list of phrases")
        lines = content.decode("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise AttuneError(f"{file} cannot be read as UTF-8 text: {error}") from None
    phrases = []
    for number, line in enumerate(lines, 1):
        text, _, weight = line.partition("\t")
        if not text.strip():
            continue
        try:
            phrases.append(
                NewPhrase(text=checked_phrase(text), weight=float(weight) if weight.strip() else 1)
            )
        except ValueError:
            raise AttuneError(
                f"{file} line {number}: {weight.strip()!r} is no weight from 0.01 to {MAX_WEIGHT:g}"
            ) from None
        except AttuneError as error:
            raise AttuneError(f"{file} line {number}: {error}") from None
    if not phrases:
        raise AttuneError(f"{file} has no phrase; write one on each line")
    if len(phrases) > MAX_PHRASES:
        raise AttuneError(f"{file} has {len(phrases)} phrases; the vocabulary holds {MAX_PHRASES}")
    return phrases


def _tell(done: VocabularyListed) -> None:
    changed = [
        f"{counted(count, 'phrase')} {what}"
        for count, what in ((done.added, "added"), (done.removed, "removed"))
        if count
    ] or ["nothing new"]
    console.print(
        f"{', '.join(changed)}; the vocabulary has {counted(len(done.phrases), 'phrase')}",
        highlight=False,
    )
