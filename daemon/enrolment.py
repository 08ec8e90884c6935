"""Takes up a manifest of recordings and their texts: good rows are kept, each bad one is told in one line."""

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import IO

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from engines.audio import read_audio
from engines.errors import AttuneError
from engines.label_check import TOLD, is_silent, label_fault, same_words
from engines.types import SAMPLE_RATE_HZ, Float32

from .events import Event
from .store import MAX_LABEL_CHARACTERS, Store, utterance_id

MAX_SECONDS = 29.5
"""Longest recording that is enrolled: what the encoder takes."""
_MAX_LINE_BYTES = 16_384


class _Row(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)

    audio: Path
    text: str = Field(min_length=1, max_length=MAX_LABEL_CHARACTERS)


def enroll(manifest: Path, store: Store, replace: bool = False) -> Iterator[Event]:
    """Store every row of `manifest` as an enrolled utterance: JSON lines `{"audio": PATH, "text": TEXT}`, paths relative to it.

    A recording has one text: the first that it was given stays, or with `replace` the first in this manifest. A text that cannot
    be true of its recording is a bad row. Yields `enrolled` or `bad_row` for each row, and `enrolled_all` with the totals, in
    which a recording counts once. Raises AttuneError where the manifest itself cannot be read or is empty, or the store cannot
    be written.
    """
    bad = 0
    taken: dict[str, float] = {}
    """Seconds of each utterance."""
    for number, line in _lines(manifest):
        try:
            row = _read_row(line)
            samples = read_audio(manifest.parent / row.audio, MAX_SECONDS)
            _refuse_untrue(row.text, samples, store, replace, taken)
        except AttuneError as error:
            bad += 1
            yield {"event": "bad_row", "row": number, "problem": f"{manifest.name} line {number}: {error}"}
            continue
        utterance = store.add_utterance(samples, "enrolled")
        label = store.replace_label if replace and utterance.id not in taken else store.add_label
        label(utterance.id, row.text, "enrolled")
        taken[utterance.id] = len(samples) / SAMPLE_RATE_HZ
        yield {"event": "enrolled", "row": number, "utterance": utterance.id, "seconds": utterance.seconds}
    if not taken and not bad:
        raise AttuneError(f"the manifest {manifest} has no rows; give JSON lines of `audio` and `text`")
    yield {"event": "enrolled_all", "enrolled": len(taken), "bad": bad, "seconds": sum(taken.values())}


def _refuse_untrue(text: str, samples: Float32, store: Store, replace: bool, taken: Collection[str]) -> None:
    """Raise AttuneError where `text` cannot be what was said in `samples`, or contradicts what they were labelled with before."""
    fault = "silent" if is_silent(samples) else label_fault(text, len(samples) / SAMPLE_RATE_HZ)
    if fault is not None:
        raise AttuneError(f"its text cannot be what was said: {TOLD[fault]}; give the words that the recording has")
    identifier = utterance_id(samples)
    before = store.confirmed_text(identifier)
    if before is None or same_words(before, text) or (replace and identifier not in taken):
        return
    remedy = "correct the manifest" if identifier in taken else "give --replace if the new text is the right one"
    raise AttuneError(f"its text contradicts the one that this recording was labelled with before, which stays; {remedy}")


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
