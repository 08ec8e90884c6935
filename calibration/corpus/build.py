"""Makes a corpus: speaks or reads each line of the script, augments it, and writes its log-mel into
shards.

Knows the work and its workers; the script is `corpus/script.py`, the files `corpus/shards.py`.
"""

import multiprocessing
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from engines.audio.recordings import read_audio
from engines.device.commands import require
from engines.errors import AttuneError
from engines.types import FRAME_SECONDS, SAMPLE_RATE_HZ, Float32
from engines.whisper.encoder import MAX_SECONDS, encoder_mel

from .augment import augment
from .script import ScriptLine
from .shards import shards_of, write_shard
from .synthesis import COMMAND_OF, Synthesizers, Voice, describe

SHARD_UTTERANCES = 200
_SHORTEST_SECONDS, _LONGEST_SECONDS = 0.3, 20.0


@dataclass(frozen=True)
class NeuralVoices:
    """The models of the voices that are neural networks."""

    kokoro: Path | None = None
    """The folder of `kokoro-82m`; None to do without its voices."""
    piper: Path | None = None
    """The graph of `piper-joe`; None to do without it."""


@dataclass(frozen=True)
class _Worker:
    folder: Path
    mel_bins: int
    synthesizers: Synthesizers


_worker: _Worker


def expected_bytes(script: Sequence[ScriptLine], mel_bins: int) -> int:
    """The size that the log-mel of `script` will have on the disk."""
    seconds = sum(line.expected_seconds * line.copies for line in script)
    return int(seconds / FRAME_SECONDS * 2 * mel_bins * np.float16().nbytes)


def build(
    folder: Path,
    script: Sequence[ScriptLine],
    voices: NeuralVoices,
    mel_bins: int,
    workers: int,
    report: Callable[[int, int], None],
) -> int:
    """Make what `folder` lacks of `script`; returns the number of utterances made in this call.

    `report` takes the number of shards that are there and of all shards. Raises AttuneError where a
    synthesizer is not installed, the disk is too small for what is missing, or a shard cannot be
    written.
    """
    for synthesizer in sorted(
        {line.source.synthesizer for line in script if isinstance(line.source, Voice)}
    ):
        # Else each of its lines would pass for one that cannot be spoken.
        require(COMMAND_OF[synthesizer])
    shards = -(-len(script) // SHARD_UTTERANCES)
    folder.mkdir(parents=True, exist_ok=True)
    missing = sorted(set(range(shards)) - set(shards_of(folder)))
    tasks = [
        (number, script[number * SHARD_UTTERANCES : (number + 1) * SHARD_UTTERANCES])
        for number in missing
    ]
    needed = expected_bytes([line for _, some in tasks for line in some], mel_bins)
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise AttuneError(
            f"the corpus needs {needed / 1e9:.1f} GB more and {folder} has {free / 1e9:.1f} GB"
            " free; ask for fewer hours"
        )
    made, done = 0, shards - len(missing)
    report(done, shards)
    opened = (folder, voices, mel_bins)
    with multiprocessing.get_context("spawn").Pool(workers, _open, opened) as pool:
        for count in pool.imap_unordered(_make_shard, tasks):
            made, done = made + count, done + 1
            report(done, shards)
    return made


def _open(folder: Path, voices: NeuralVoices, mel_bins: int) -> None:
    global _worker
    _worker = _Worker(folder, mel_bins, Synthesizers(voices.kokoro, voices.piper))


def _make_shard(task: tuple[int, Sequence[ScriptLine]]) -> int:
    number, script = task
    return write_shard(_worker.folder, number, (row for line in script for row in _make_rows(line)))


def _make_rows(line: ScriptLine) -> Iterator[tuple[Float32, dict[str, Any]]]:
    """The log-mel and the rest of the row for each augmented copy of `line`; none where the voice
    cannot say the sentence or the recording cannot be read."""
    try:
        if isinstance(line.source, Voice):
            samples, voice = (
                _worker.synthesizers.speak(line.text, line.source),
                describe(line.source),
            )
        else:
            samples, voice = read_audio(line.source, MAX_SECONDS), "recorded"
    except AttuneError:
        return  # the index shows how many were made
    if not _SHORTEST_SECONDS < len(samples) / SAMPLE_RATE_HZ < _LONGEST_SECONDS:
        return
    rng = np.random.default_rng(line.seed)
    for _ in range(line.copies):
        augmented = augment(samples, rng)
        seconds = round(len(augmented) / SAMPLE_RATE_HZ, 2)
        about = {"text": line.text, "voice": voice, "seconds": seconds}
        yield encoder_mel(augmented, _worker.mel_bins), about
