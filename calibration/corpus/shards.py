"""A corpus on disk: log-mel in memory-mapped shards, each with an index of its utterances. Knows no
voices, no encoder and no losses.

`00042.mel.npy` holds the log-mel of a shard's utterances one after the other ([2T, mel_bins]
float16), `00042.jsonl` a row for each. The index is written last and whole, so a shard is there or
it is not: what a killed build left is written anew.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from engines.errors import AttuneError
from engines.files import write_atomically, write_beside
from engines.types import Float16, Float32


@dataclass(frozen=True)
class Row:
    """One utterance of a shard."""

    text: str
    voice: str
    seconds: float
    start: int
    """The frames of the shard before its own; a frame is two columns of log-mel."""
    frames: int


@dataclass(frozen=True)
class Utterance:
    """One utterance to train on."""

    row: Row
    log_mel: Float16
    """[mel_bins, 2T] log-mel, memory-mapped."""


def shards_of(folder: Path) -> list[int]:
    """The numbers of the complete shards in `folder`."""
    return sorted(int(index.stem) for index in folder.glob("[0-9]*.jsonl") if _mel(index).is_file())


def write_shard(folder: Path, number: int, spoken: Iterable[tuple[Float32, dict[str, Any]]]) -> int:
    """Write log-mel [mel_bins, 2T] with the rest of their rows (`text`, `voice`, `seconds`);
    returns the number of utterances."""
    rows, parts, start = [], [], 0
    for log_mel, about in spoken:
        parts.append(log_mel.T.astype(np.float16))
        rows.append(Row(**about, start=start, frames=log_mel.shape[1] // 2))
        start += rows[-1].frames
    index = index_of(folder, number)
    with write_beside(_mel(index)) as beside:
        np.save(beside, np.concatenate(parts) if parts else np.zeros((0, 0), np.float16))
    write_atomically(index, "".join(json.dumps(asdict(row)) + "\n" for row in rows).encode())
    return len(rows)


def read_corpus(folders: Sequence[Path]) -> list[Utterance]:
    """Every utterance of the shards in `folders`. Raises AttuneError where there is none, or a
    shard is damaged."""
    found = [one for folder in folders for n in shards_of(folder) for one in read_shard(folder, n)]
    if not found:
        raise AttuneError(f"no corpus in {', '.join(map(str, folders))}; run `attune align corpus`")
    return found


def read_shard(folder: Path, number: int) -> list[Utterance]:
    """The utterances of one shard. Raises AttuneError where it is damaged."""
    index = index_of(folder, number)
    try:
        rows = [_row(json.loads(line)) for line in index.read_text().splitlines()]
        # Copy-on-write: torch takes such memory as it is, without reading the shard.
        mel = np.load(_mel(index), mmap_mode="c", allow_pickle=False)
    except (OSError, KeyError, ValueError, TypeError, EOFError) as error:
        raise AttuneError(
            f"the shard {index} is damaged ({error}); delete it and run `attune align corpus` again"
        ) from None
    if (2 * (rows[-1].start + rows[-1].frames) if rows else 0) != len(mel):
        raise AttuneError(
            f"the shard {index} is damaged (it is cut off); delete it and run `attune"
            " align corpus` again"
        )
    return [Utterance(row, mel[2 * row.start : 2 * (row.start + row.frames)].T) for row in rows]


def index_of(folder: Path, number: int) -> Path:
    """The index of a shard."""
    return folder / f"{number:05d}.jsonl"


def _row(about: dict[str, Any]) -> Row:
    about.pop("draft", None)  # the first-pass transcript, in shards of earlier versions
    return Row(**about)


def _mel(index: Path) -> Path:
    return index.with_suffix(".mel.npy")
