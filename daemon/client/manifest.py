"""Reads a manifest of recordings and their texts, row by row. Opens none of the recordings."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from engines.errors import AttuneError
from engines.open_file import OpenFile, open_file
from engines.text_files import without_mark

from ..store.store import MAX_LABEL_CHARACTERS

_ROW = '{"audio": PATH, "text": TEXT}'
_MAX_LINE_BYTES = 16_384
_READ_BYTES = 65_536
_MAX_STRANGE_LINES = 5
"""A file is not a manifest if its first lines, as many as this, hold no row."""
_MAX_BYTES_WITHOUT_A_ROW = 1 << 20


class Row(BaseModel):
    """One row of a manifest: a recording and the text that is said in it."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)

    audio: Path
    """Path of the recording, absolute or relative to the manifest."""
    text: str = Field(min_length=1, max_length=MAX_LABEL_CHARACTERS)


@dataclass(frozen=True)
class BadRow:
    """A line of a manifest that is not a valid row."""

    problem: str
    """Why the line is refused, in one line."""
    strange: bool
    """True if the line does not resemble a row at all."""


def read_manifest(path: Path) -> Iterator[tuple[int, Row | BadRow]]:
    """Yield the lines of `path` that are not empty, with their numbers from 1 on.

    Raises AttuneError if the file cannot be read, is empty, or is not a manifest.
    """
    with open_file(path) as file:
        held: list[tuple[int, BadRow]] = []
        is_manifest = False
        for number, line, position in _lines(file):
            if not is_manifest and line.strip() == b"[":
                raise _no_manifest(
                    path, [(number, BadRow("it is one JSON array over many lines", strange=True))]
                )
            row = _read_row(line)
            if not is_manifest and isinstance(row, BadRow) and row.strange:
                held.append((number, row))
                if (
                    len(held) >= _MAX_STRANGE_LINES
                    or position > _MAX_BYTES_WITHOUT_A_ROW
                    or b"\0" in line
                ):
                    raise _no_manifest(path, held)
                continue
            is_manifest = True
            yield from held  # a few strange lines before the first row are bad rows of a manifest
            held = []
            yield number, row
    if held:
        raise _no_manifest(path, held)
    if not is_manifest:
        raise AttuneError(f"the manifest {path} has no rows; give lines such as {_ROW}")


def _no_manifest(path: Path, held: list[tuple[int, BadRow]]) -> AttuneError:
    number, first = held[0]
    problem = first.problem.partition(";")[0]
    return AttuneError(
        f"{path} is not a manifest (line {number}: {problem}); give a file with one {_ROW} per line"
    )


def _lines(file: OpenFile) -> Iterator[tuple[int, bytes, int]]:
    """Yield each line that is not empty: its number, its first _MAX_LINE_BYTES + 1 bytes, and the
    position in the file after all that was read."""
    number, position = 1, 0
    line = bytearray()
    while block := _read(file, position):
        position += len(block)
        parts = block.split(b"\n")
        for index, part in enumerate(parts):
            line += part[: _MAX_LINE_BYTES + 1 - len(line)]
            if index < len(parts) - 1:
                if line.strip():
                    yield number, without_mark(bytes(line), file.name), position
                number += 1
                line.clear()
        if len(line) > _MAX_LINE_BYTES and position > _MAX_BYTES_WITHOUT_A_ROW and number == 1:
            break  # a line without an end
    if line.strip():
        yield number, without_mark(bytes(line), file.name), position


def _read(file: OpenFile, position: int) -> bytes:
    try:
        return file.read_at(position, _READ_BYTES)
    except OSError as error:
        raise AttuneError(
            f"the manifest {file.name} cannot be read: {error.strerror}; copy it to another disk"
        ) from error


def _read_row(line: bytes) -> Row | BadRow:
    if len(line) > _MAX_LINE_BYTES:
        return BadRow(
            f"it is longer than {_MAX_LINE_BYTES} bytes; a row has a path and one sentence",
            strange=True,
        )
    try:
        return Row.model_validate_json(line)
    except ValidationError as error:
        errors = error.errors()
        first = errors[0]
        field = ".".join(str(part) for part in first["loc"])
        message = first["msg"][:1].lower() + first["msg"][1:]
        missing = [one["loc"] for one in errors if one["type"] == "missing"]
        problem = f"{field + ': ' if field else ''}{message}; a row is {_ROW}"
        return BadRow(problem, strange=not field or len(missing) == len(Row.model_fields))
