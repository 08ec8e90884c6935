"""Reads recordings with their texts in common formats (JSON lines, LibriSpeech, Common Voice), and
writes them as JSON lines."""

import csv
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import soundfile

from engines.errors import AttuneError
from engines.files import write_atomically
from engines.text_files import without_mark
from engines.types import SAMPLE_RATE_HZ, Float32

from .texts import as_sentence


def read_recordings(source: Path) -> Iterator[tuple[Path, str]]:
    """The recordings of `source` with their texts; no recording is opened.

    `source` is a file of JSON lines `{"audio": PATH, "text": TEXT}`, with paths relative to it, or
    a LibriSpeech or Common Voice folder. Raises AttuneError for anything else, and for a line that
    cannot be read.
    """
    if source.is_file():
        yield from _from_json_lines(source)
    elif (source / "validated.tsv").is_file():
        yield from _from_common_voice(source)
    elif any(source.rglob("*.trans.txt")):
        yield from _from_librispeech(source)
    else:
        raise AttuneError(
            f"{source} is neither a manifest of JSON lines, nor a LibriSpeech folder (*.trans.txt),"
            " nor a Common Voice folder (validated.tsv); give one of them"
        )


def _from_json_lines(path: Path) -> Iterator[tuple[Path, str]]:
    # Not at U+2028, which a text may hold.
    for number, line in enumerate(_text(path).split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            yield (path.parent / row["audio"]).resolve(), str(row["text"]).strip()
        except (ValueError, KeyError, TypeError) as error:
            raise AttuneError(
                f"{path} line {number} is not an object with `audio` and `text` ({error})"
            ) from None


def _text(path: Path) -> str:
    """The text of the file. Raises AttuneError where it cannot be read or is no UTF-8."""
    try:
        return without_mark(path.read_bytes(), str(path)).decode()
    except OSError as error:
        raise AttuneError(
            f"{path} cannot be read ({error.strerror}); check its permissions"
        ) from error
    except UnicodeDecodeError as error:
        raise AttuneError(
            f"{path} is no UTF-8 text ({error.reason} at byte {error.start}); save it as UTF-8"
        ) from error


def _from_librispeech(folder: Path) -> Iterator[tuple[Path, str]]:
    """The recordings of a LibriSpeech folder. Its texts are in capitals without punctuation; they
    are turned into sentences as transcripts have them."""
    for listing in sorted(folder.rglob("*.trans.txt")):
        for line in _text(listing).splitlines():
            name, _, text = line.partition(" ")
            yield (
                listing.parent / f"{name}.flac",
                as_sentence(text.lower().replace(" i ", " I ").replace(" i'", " I'")),
            )


def _from_common_voice(folder: Path) -> Iterator[tuple[Path, str]]:
    with (folder / "validated.tsv").open(encoding="utf-8-sig", newline="") as file:
        for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE):
            yield folder / "clips" / row["path"], row["sentence"].strip()


def write_recordings(manifest: Path, folder: Path, spoken: Iterable[tuple[str, Float32]]) -> None:
    """Write each (text, samples) as a WAV file in `folder`; the manifest is written last, so one
    that is there is whole."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for index, (text, samples) in enumerate(spoken):
        path = folder / f"{index:03d}.wav"
        soundfile.write(path, samples, SAMPLE_RATE_HZ, "PCM_16")
        rows.append({"audio": str(path.resolve()), "text": text})
    write_rows(manifest, rows)


def write_rows(path: Path, rows: Iterable[Mapping[str, object]]) -> None:
    """Write `rows` as JSON lines."""
    write_atomically(path, "".join(json.dumps(row) + "\n" for row in rows).encode())
