"""The shards of a corpus as one recogniser hears them: encoder frames and first-pass transcripts,
computed once and kept beside each other. Knows no voices and no losses.

`00042.npy` holds the frames of a shard's utterances one after the other ([T, D] float16),
`00042.jsonl` the first-pass transcript of each. The transcripts are written last and whole, so a
shard is encoded or it is not.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from engines.errors import AttuneError
from engines.files import write_atomically, write_beside
from engines.types import Float16, Transcript
from engines.whisper.recogniser import Recogniser

from .shards import Row, index_of, read_shard, shards_of


@dataclass(frozen=True)
class EncodedUtterance:
    """One utterance to train a projector on."""

    row: Row
    frames: Float16
    """[T, D] encoder frames, memory-mapped."""
    first_pass: Transcript


def missing_shards(corpus: Path, encoded: Path) -> list[int]:
    """The shards of `corpus` that are not in `encoded` yet."""
    return [n for n in shards_of(corpus) if not index_of(encoded, n).is_file()]


def encode_shards(
    corpus: Path,
    encoded: Path,
    numbers: Sequence[int],
    recogniser: Recogniser,
    report: Callable[[int], None] = lambda done: None,
) -> None:
    """Encode and decode the shards `numbers` of `corpus` into `encoded` by `recogniser`; `report`
    takes how many of them are done.

    Raises AttuneError where a shard is damaged or an engine fails.
    """
    encoded.mkdir(parents=True, exist_ok=True)
    for done, number in enumerate(numbers, 1):
        parts, lines = [], []
        for utterance in read_shard(corpus, number):
            frames = recogniser.encoder.run(np.ascontiguousarray(utterance.log_mel, np.float32))
            parts.append(frames.astype(np.float16))
            lines.append(json.dumps(_line_of(recogniser.decoder.decode(frames))) + "\n")
        index = index_of(encoded, number)
        with write_beside(index.with_suffix(".npy")) as beside:
            np.save(beside, np.concatenate(parts) if parts else np.zeros((0, 0), np.float16))
        write_atomically(index, "".join(lines).encode())
        report(done)


def read_encoded(corpus: Path, encoded: Path) -> list[EncodedUtterance]:
    """Every utterance of `corpus` that was encoded into `encoded`. Raises AttuneError where a shard
    of either is damaged."""
    return [
        one
        for number in shards_of(corpus)
        if index_of(encoded, number).is_file()
        for one in _read(corpus, encoded, number)
    ]


def _read(corpus: Path, encoded: Path, number: int) -> Iterator[EncodedUtterance]:
    index = index_of(encoded, number)
    rows = [utterance.row for utterance in read_shard(corpus, number)]
    try:
        first_passes = [_transcript_of(line) for line in index.read_text().splitlines()]
        frames = np.load(index.with_suffix(".npy"), mmap_mode="c", allow_pickle=False)
    except (OSError, KeyError, ValueError, TypeError, EOFError) as error:
        raise _damaged(index, str(error)) from None
    end = rows[-1].start + rows[-1].frames if rows else 0
    if len(first_passes) != len(rows) or len(frames) != end:
        raise _damaged(index, "it is of another corpus, or cut off")
    for row, first_pass in zip(rows, first_passes, strict=True):
        yield EncodedUtterance(row, frames[row.start : row.start + row.frames], first_pass)


def _line_of(transcript: Transcript) -> dict[str, str | float]:
    return {
        "first_pass": transcript.text,
        "log_likelihood": transcript.log_likelihood,
        "tokens": transcript.tokens,
    }


def _transcript_of(line: str) -> Transcript:
    """The transcript of a line. Those of version 0.2.0 have its text alone."""
    row = json.loads(line)
    return Transcript(
        str(row["first_pass"]), float(row.get("log_likelihood", 0.0)), int(row.get("tokens", 0))
    )


def _damaged(index: Path, why: str) -> AttuneError:
    return AttuneError(
        f"the encoded shard {index} is damaged ({why}); delete its folder, it is made again"
    )
