"""A corpus on disk: encoder frames and log-mel in memory-mapped shards, each with an index of its
utterances. Knows no voices and no losses.

`00042.npy` holds the frames of a shard's utterances one after the other ([T, D] float16),
`00042.mel.npy` their log-mel ([2T, mel_bins] float16), `00042.jsonl` a row for each. The index is
written last and whole, so a shard is there or it is not: what a killed build left is written anew.
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
    first_pass: str
    """The first-pass transcript; empty where nothing was recognised."""
    voice: str
    seconds: float
    start: int
    """The place of its first frame in the shard."""
    frames: int


@dataclass(frozen=True)
class Utterance:
    """One utterance to train on."""

    row: Row
    frames: Float16
    """[T, D] encoder frames, memory-mapped."""
    log_mel: Float16 | None
    """[mel_bins, 2T] log-mel, memory-mapped; None in shards of the versions that kept none."""


def is_there(folder: Path, number: int) -> bool:
    """Whether the shard `number` is complete, and of this version."""
    index = _index(folder, number)
    return index.is_file() and _log_mel(index).is_file()


def write_shard(
    folder: Path, number: int, spoken: Iterable[tuple[Float32, Float32, dict[str, Any]]]
) -> int:
    """Write frames [T, D] and log-mel [mel_bins, 2T] with the rest of their rows (`text`,
    `first_pass`, `voice`, `seconds`); returns the number of utterances."""
    rows, parts, mels, start = [], [], [], 0
    for frames, log_mel, about in spoken:
        parts.append(frames.astype(np.float16))
        mels.append(log_mel.T.astype(np.float16))
        rows.append(Row(**about, start=start, frames=len(frames)))
        start += len(frames)
    index = _index(folder, number)
    for path, arrays in ((index.with_suffix(".npy"), parts), (_log_mel(index), mels)):
        joined = np.concatenate(arrays) if arrays else np.zeros((0, 0), np.float16)
        with write_beside(path) as beside:
            np.save(beside, joined)
    write_atomically(index, "".join(json.dumps(_stored(row)) + "\n" for row in rows).encode())
    return len(rows)


def read_corpus(folders: Sequence[Path]) -> list[Utterance]:
    """Every utterance of the shards in `folders`. Raises AttuneError where there is none, or a
    shard is damaged."""
    found = []
    for folder in folders:
        for index in sorted(folder.glob("[0-9]*.jsonl")):
            found += _read_shard(index)
    if not found:
        raise AttuneError(f"no corpus in {', '.join(map(str, folders))}; run `attune align corpus`")
    return found


def _read_shard(index: Path) -> list[Utterance]:
    try:
        rows = [_row(json.loads(line)) for line in index.read_text().splitlines()]
        # Copy-on-write: torch takes such memory as it is, without reading the shard.
        frames = np.load(index.with_suffix(".npy"), mmap_mode="c", allow_pickle=False)
        mels = (
            np.load(_log_mel(index), mmap_mode="c", allow_pickle=False)
            if _log_mel(index).is_file()
            else None
        )
    except (OSError, KeyError, ValueError, TypeError, EOFError) as error:
        raise AttuneError(
            f"the shard {index} is damaged ({error}); delete it and run `attune align corpus` again"
        ) from None
    end = rows[-1].start + rows[-1].frames if rows else 0
    if end != len(frames) or (mels is not None and 2 * end != len(mels)):
        raise AttuneError(
            f"the shard {index} is damaged (it is cut off); delete it and run `attune"
            " align corpus` again"
        )
    return [_utterance(row, frames, mels) for row in rows]


def _utterance(row: Row, frames: Float16, mels: Float16 | None) -> Utterance:
    end = row.start + row.frames
    log_mel = None if mels is None else mels[2 * row.start : 2 * end].T
    return Utterance(row, frames[row.start : end], log_mel)


def _stored(row: Row) -> dict[str, Any]:
    """The form of `row` in the index, where the first-pass transcript is called `draft`."""
    about = asdict(row)
    return about | {"draft": about.pop("first_pass")}


def _row(about: dict[str, Any]) -> Row:
    return Row(first_pass=about.pop("draft"), **about)


def _index(folder: Path, number: int) -> Path:
    return folder / f"{number:05d}.jsonl"


def _log_mel(index: Path) -> Path:
    return index.with_suffix(".mel.npy")
