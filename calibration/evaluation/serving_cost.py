"""What it takes to hear by one model or another: seconds for an utterance, and memory. Each is
opened in a process of its own, as the daemon opens it."""

import multiprocessing
import os
import statistics
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from engines.audio.recordings import read_audio
from engines.build import open_engines
from engines.device.memory import proportional_bytes
from engines.generations.folder import read_generation
from engines.jobs.child_process import PARENT_VARIABLE, settle_as_child
from engines.jobs.messages import EngineFiles
from engines.routes import CascadeRoute, Route
from engines.types import Transcript
from engines.whisper.encoder import MAX_SECONDS

RouteName = Literal["cascade", "aligned"]


@dataclass(frozen=True)
class MeasuredHearing:
    """What a model takes to hear recordings, and what it hears."""

    seconds: float
    """The median wall time for one."""
    size_bytes: int
    """The memory of the process."""
    texts: list[str]
    """What was heard in each: empty for the aligned route, which hears no text."""


def serving_cost(
    engines: EngineFiles,
    generation: Path | None,
    route: RouteName,
    recordings: Sequence[Path],
    threads: int,
) -> MeasuredHearing:
    """What hearing `recordings`, at least one, takes by the route of the generation in the folder
    `generation`, or by Whisper as it came where that is None. Raises AttuneError where an engine
    fails."""
    os.environ[PARENT_VARIABLE] = str(os.getpid())
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), settle_as_child) as apart:
        return apart.submit(_measured, engines, generation, route, recordings, threads).result()


def _measured(
    engines: EngineFiles,
    generation: Path | None,
    route: RouteName,
    recordings: Sequence[Path],
    threads: int,
) -> MeasuredHearing:
    opened = open_engines(engines, "Answer briefly.", 1024, threads)
    one = read_generation(generation) if generation is not None else None
    hearing: Route = (
        opened.aligned(one, True)
        if route == "aligned" and one is not None
        else CascadeRoute(opened.transcriber_of(one))
    )
    hearing.ready()
    hearing.hear(read_audio(recordings[0], MAX_SECONDS))  # takes what the others share
    times, texts = [], []
    for path in recordings:
        samples = read_audio(path, MAX_SECONDS)
        began = time.monotonic()
        heard = hearing.hear(samples)
        times.append(time.monotonic() - began)
        texts.append(heard.text if isinstance(heard, Transcript) else "")
    size_bytes = proportional_bytes()
    opened.close()
    return MeasuredHearing(statistics.median(times), size_bytes, texts)
