"""`attune bench memory`: the memory of a step of distillation, through language models of the
recommended shapes.

The files have random weights (`random_model.py`), so nothing is downloaded; shapes, types and steps
are real. Each measurement is a process of its own; its peak is the kernel's figure, with the mapped
pages of the file. A step runs through projector, language model and adapter, with gradients and
AdamW for projector and adapter.
"""

import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch

from engines.device.memory import give_back_freed_memory, peak_resident_bytes
from engines.errors import AttuneError
from engines.files import write_atomically
from engines.jobs.bench_figures import MemoryFigures, MemoryRun
from engines.jobs.bench_jobs import BenchMemoryJob
from engines.jobs.child_process import PARENT_VARIABLE, settle_as_child
from engines.jobs.messages import Report
from engines.llm.vocabulary import Vocabulary

from ..distillation.gguf_model import load_language_model
from ..distillation.losses import Distillation, with_teacher_targets
from ..distillation.partial_lora import add_adapter
from ..projector.cif import PHONEMES_PER_GROUP, CifConfig, CifProjector
from ..projector.embedlink import EmbedLink
from ..projector.pronunciation_keys import PHONEME_SYMBOLS
from ..provenance import describe_machine, peak_allocated_bytes
from ..training.loop import Schedule, fit
from ..training.samples import Sample
from .random_model import SHAPES, write_random_model

FRAME_WIDTH, STACK = 384, 3
"""The width of Whisper tiny's frames, and the number of them in a group."""
_GROUPS_PER_TOKEN = 6
"""The groups of a token, 0.36 s of speech: people say about three tokens a second."""
_KNOWN_TOKENS = 26_000
"""The number of tokens that the shipped base knows."""
_SHARE_OF_WORDS, _SHARE_OF_REPLY = 0.2, 0.3
"""The shares of words and reply in the positions of a conversation."""
Result = TypeVar("Result")


def bench_memory(job: BenchMemoryJob, report: Report) -> int:
    """Run `job`; returns the number of measurements. Raises AttuneError for a shape that is not
    known, or a full disk."""
    unknown = [name for name in job.shapes if name not in SHAPES]
    if unknown:
        raise AttuneError(f"there is no shape {unknown[0]}; choose from {', '.join(SHAPES)}")
    os.environ[PARENT_VARIABLE] = str(os.getpid())
    runs: list[MemoryRun] = []
    to_do = len(job.shapes) * len(job.positions)
    for name in job.shapes:
        with tempfile.TemporaryDirectory(dir=job.folder, prefix=".model-") as folder:
            path = Path(folder) / f"{name}.gguf"
            report("write", len(runs) / to_do, name)
            try:
                _apart(_write, path, name)
            except OSError as error:
                raise AttuneError(
                    f"the model {name} could not be written to {job.folder}: {error.strerror}"
                ) from None
            for positions in job.positions:
                report("measure", len(runs) / to_do, f"{name}, {positions} positions")
                runs.append(_apart(_measure, path, name, positions, job))
    figures = MemoryFigures(runs=runs, machine=describe_machine())
    write_atomically(job.folder / "figures.json", figures.model_dump_json(indent=1).encode())
    return len(runs)


def _apart(work: Callable[..., Result], *arguments: object) -> Result:
    """Run `work` in a process of its own, and return its result."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), settle_as_child) as process:
        return process.submit(work, *arguments).result()


def _write(path: Path, name: str) -> None:
    write_random_model(path, SHAPES[name])


def _measure(path: Path, name: str, positions: int, job: BenchMemoryJob) -> MemoryRun:
    """Take `job.steps` steps through the model in `path`, each with a conversation of `positions`
    tokens."""
    torch.set_num_threads(job.threads)
    torch.manual_seed(job.seed)
    give_back_freed_memory()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    before_bytes = peak_resident_bytes()
    shape, vocabulary, rng = SHAPES[name], Vocabulary(path), np.random.default_rng(job.seed)
    language_model = load_language_model(path)
    torch.nn.Module.to(language_model, device)
    words, reply = (
        max(1, int(positions * _SHARE_OF_WORDS)),
        max(1, int(positions * _SHARE_OF_REPLY)),
    )

    def tokens(count: int) -> torch.Tensor:
        return torch.from_numpy(rng.integers(0, _KNOWN_TOKENS, count))

    frames = rng.standard_normal((words * _GROUPS_PER_TOKEN, STACK * FRAME_WIDTH), np.float32)
    sample = Sample(torch.from_numpy(frames).half(), tokens(words), tokens(words))
    before, after = positions - words - reply - positions // 20, positions // 20
    sample = with_teacher_targets(
        language_model, sample, sample.tokens, tokens(before), tokens(after), tokens(reply)
    )
    projector = CifProjector(
        CifConfig(FRAME_WIDTH, shape.width, shape.vocabulary, reads_first_pass=True)
    )
    projector.keys.phonemes[:, :PHONEMES_PER_GROUP] = torch.randint(
        1, PHONEME_SYMBOLS, (shape.vocabulary, PHONEMES_PER_GROUP)
    )
    projector.keys.requires_grad_(False)  # as in a round
    distillation = Distillation(
        EmbedLink(projector, vocabulary, range(_KNOWN_TOKENS)), add_adapter(language_model)
    ).to(device)
    steps = fit(
        distillation, lambda _: [sample], Schedule(job.steps, 1e9, 1e-4, warmup_steps=1), None
    )
    began = time.monotonic()
    taken = len(list(steps))
    seconds = time.monotonic() - began
    return MemoryRun(
        shape=name,
        file_bytes=path.stat().st_size,
        positions=positions,
        before_bytes=before_bytes,
        peak_resident_bytes=peak_resident_bytes(),
        peak_allocated_bytes=peak_allocated_bytes(),
        seconds_per_step=seconds / taken,
    )
