"""Takes up a manifest of recordings and their texts: good rows are kept, each bad one is told in one line."""

from collections.abc import Iterator
from pathlib import Path
from typing import IO

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from engines.audio import read_audio
from engines.errors import AttuneError
from engines.types import SAMPLE_RATE_HZ

from .events import Event
from .store import MAX_LABEL_CHARACTERS, Store

MAX_SECONDS = 29.5
"""Longest recording that is enrolled: what the encoder takes."""
_MAX_LINE_BYTES = 16_384


class _Row(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)

    audio: Path
    text: str = Field(min_length=1, max_length=MAX_LABEL_CHARACTERS)


def enroll(manifest: Path, store: Store) -> Iterator[Event]:
    """Store every row of `manifest` as an enrolled utterance: JSON lines `{"audio": PATH, "text": TEXT}`, paths relative to it.

    Yields `enrolled` or `bad_row` for each, and `enrolled_all` with the totals. Raises AttuneError where the manifest itself
    cannot be read or is empty, or the store cannot be written.
    """
    enrolled = bad = 0
    seconds = 0.0
    for number, line in _lines(manifest):
        try:
            row = _read_row(line)
            samples = read_audio(manifest.parent / row.audio, MAX_SECONDS)
        except AttuneError as error:
            bad += 1
            yield {"event": "bad_row", "row": number, "problem": f"{manifest.name} line {number}: {error}"}
            continue
        utterance = store.add_utterance(samples, "enrolled")
        store.add_label(utterance.id, row.text, "enrolled")
        enrolled += 1
        seconds += len(samples) / SAMPLE_RATE_HZ
        yield {"event": "enrolled", "row": number, "utterance": utterance.id, "seconds": utterance.seconds}
    if not enrolled and not bad:
        raise AttuneError(f"the manifest {manifest} has no rows; give JSON lines of `audio` and `text`")
    yield {"event": "enrolled_all", "enrolled": enrolled, "bad": bad, "seconds": seconds}


def _lines(manifest: Path) -> Iterator[tuple[int, bytes]]:
    try:
        with manifest.open("rb") as file:
            for number, line in enumerate(iter(lambda: file.readline(_MAX_LINE_BYTES), b""), start=1):
                if line.strip():
                    yield number, line if line.endswith(b"\n") or len(line) < _MAX_LINE_BYTES else _skip_rest(file)
    except OSError as error:
        raise AttuneError(f"the manifest {manifest} cannot be read: {error.strerror}") from error


def _skip_rest(file: IO[bytes]) -> bytes:
    while (part := file.readline(_MAX_LINE_BYTES)) and not part.endswith(b"\n"):
        pass
    return b"too long"


def _read_row(line: bytes) -> _Row:
    if line == b"too long":
        raise AttuneError(f"it is longer than {_MAX_LINE_BYTES} bytes; a row has a path and one sentence")
    try:
        return _Row.model_validate_json(line)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        message = first["msg"][:1].lower() + first["msg"][1:]
        raise AttuneError(f'{field + ": " if field else ""}{message}; a row is {{"audio": PATH, "text": TEXT}}') from error
