"""What it costs to hear by one model or another: seconds for an utterance, and memory. Each is
opened in a process of its own, as the daemon opens it."""

import multiprocessing
import os
import statistics
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Literal

from engines.audio.recordings import read_audio
from engines.build import open_engines
from engines.device.memory import proportional_bytes
from engines.generations.folder import read_generation
from engines.jobs.bench_figures import ServingCost
from engines.jobs.child_process import PARENT_VARIABLE, settle_as_child
from engines.jobs.messages import EngineFiles
from engines.routes import CascadeRoute, Route
from engines.whisper.encoder import MAX_SECONDS

Hearing = Literal["cascade", "aligned"]


def serving_cost(
    hearer: str,
    engines: EngineFiles,
    generation: Path | None,
    route: Hearing,
    recordings: Sequence[Path],
    threads: int,
) -> ServingCost:
    """The cost of hearing `recordings` by the route of the generation in the folder `generation`,
    or by Whisper as it came where that is None. Raises AttuneError where an engine fails."""
    os.environ[PARENT_VARIABLE] = str(os.getpid())
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), settle_as_child) as apart:
        seconds, size_bytes = apart.submit(
            _measured, engines, generation, route, recordings, threads
        ).result()
    return ServingCost(hearer=hearer, seconds=seconds, size_bytes=size_bytes)


def _measured(
    engines: EngineFiles,
    generation: Path | None,
    route: Hearing,
    recordings: Sequence[Path],
    threads: int,
) -> tuple[float, int]:
    """The median seconds of wall time, and the memory of the process at the end."""
    opened = open_engines(engines, "Answer briefly.", 1024, threads)
    one = read_generation(generation) if generation is not None else None
    hearing: Route = (
        opened.aligned(one, True)
        if route == "aligned" and one is not None
        else CascadeRoute(opened.transcriber_of(one))
    )
    hearing.ready()
    samples = [read_audio(path, MAX_SECONDS) for path in recordings]
    hearing.hear(samples[0])  # the first one takes what the others share
    times = []
    for some in samples:
        began = time.monotonic()
        hearing.hear(some)
        times.append(time.monotonic() - began)
    taken_bytes = proportional_bytes()
    opened.close()
    return statistics.median(times), taken_bytes
