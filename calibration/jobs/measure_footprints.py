"""Measures the memory and time of a round's stages, by small rounds of made-up utterances that run
as rounds do.

Meanwhile this process has the models open that a daemon has, so that the memory that both map is
told apart.
"""

import gc
import shutil
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import cycle
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engines.audio.recordings import read_audio, write_flac
from engines.build import Engines, open_engines
from engines.device.memory import Taken, proportional_bytes, taken, trim
from engines.errors import AttuneError
from engines.files import sha256_of
from engines.generations.folder import BASE, read_generation
from engines.jobs.calibration_jobs import FootprintJob
from engines.jobs.footprints import (
    LONGEST_LEARNT_SECONDS,
    Footprint,
    Footprints,
    heard_in,
    rank_of,
    write_footprints,
)
from engines.jobs.messages import AdaptJob, DistilRecipe, Example, RecogniserRecipe, Report
from engines.routes import CascadeRoute, Route
from engines.types import SAMPLE_RATE_HZ, Float32, Transcript
from engines.whisper.encoder_onnx import OnnxEncoder

from ..corpus.replay import longest_replay_seconds
from ..provenance import describe_machine
from ..round.folder import RoundFolder
from ..round.process import run_apart

_UTTERANCES, _MORE_UTTERANCES, _HOLDOUT, _GENERAL = 10, 24, 2, 4
_TRAINING_SECONDS = 20.0
"""The training time of these rounds. It holds several steps even of the longest: only the second
step has the optimizer's moments beside it."""
_SAMPLED_SECONDS = 0.05
_LEAVING_SECONDS = 0.3
"""The time in which a stage that is done may still hold its memory; the next stage is only
importing then."""
_RANK, _HIGHER_RANK = 16, 64
_MICRO_BATCHES = 4
_TRAINING = ("recognise", "train", "distil")
"""The stages that train."""
_GROWING = (
    "bytes_per_position",
    "bytes_per_rank",
    "seconds_per_utterance",
    "seconds_per_audio_second",
)
"""What takes more memory, or more time, as it grows."""


@dataclass(frozen=True)
class _Shape:
    """What is varied from round to round."""

    utterance_seconds: float
    rank: int = _RANK
    micro_batches: int = 1
    utterances: int = _UTTERANCES


@dataclass
class _Stage:
    """The memory and time of a stage of one round."""

    peak: Taken = field(default_factory=lambda: Taken(0, 0))
    seconds: float = 0.0


@dataclass(frozen=True)
class _Round:
    job: AdaptJob
    stages: dict[str, _Stage]


def measure(job: FootprintJob, report: Report) -> int:
    """Run `job`; returns the number of rounds. Raises AttuneError where a round fails or there are
    no recordings."""
    if not job.recordings:
        raise AttuneError("there are no recordings to measure with; run `attune models fetch`")
    shutil.rmtree(job.folder / "rounds", ignore_errors=True)
    serving = _serving(job)
    more = serving.answering_bytes / 2**20
    report("serving", 1.0, f"answering takes {more:.0f} MiB more than waiting")
    engines = open_engines(job.engines, job.system_prompt, job.context_tokens, job.threads)
    shapes = [_Shape(seconds) for seconds in job.lengths_seconds]
    shapes[0] = replace(shapes[0], utterances=_MORE_UTTERANCES)
    shapes.append(_Shape(max(job.lengths_seconds), micro_batches=_MICRO_BATCHES))
    if job.distils:
        shapes.append(_Shape(min(job.lengths_seconds), rank=_HIGHER_RANK))
    engines.transcriber_of(read_generation(job.base))
    rounds = []
    for number, shape in enumerate(shapes, 1):
        # A daemon has answered lately: what it shares with a round is in its memory, too.
        list(engines.language_model.reply("Hello.", 2))
        engines.language_model.reset()
        rounds.append(_round(job, number, shape, report))
    engines.close()
    footprints = Footprints(
        machine=describe_machine(),
        measured_at=datetime.now(UTC).isoformat(timespec="seconds"),
        encoder_sha256=sha256_of(job.engines.encoder_weights_file),
        language_model_sha256=sha256_of(job.engines.language_model),
        frame_width=serving.frame_width,
        replay_seconds=longest_replay_seconds(job.features),
        stages={},
        answering_bytes=serving.answering_bytes,
        left_bytes=serving.left_bytes,
    )
    fitted = {stage: _fitted(stage, rounds, footprints) for stage in rounds[0].stages}
    write_footprints(job.output, footprints.model_copy(update={"stages": fitted}))
    shutil.rmtree(job.folder / "rounds", ignore_errors=True)
    return len(rounds)


def _fitted(stage: str, rounds: list[_Round], footprints: Footprints) -> Footprint:
    """Fit a plane to the memory of `stage`, over the positions it holds, the rank that it trains,
    and whether it accumulates gradients, as far as these vary."""
    found: dict[str, list[int]] = {
        "bytes_per_position": [footprints.positions(stage, one.job) for one in rounds],
        "bytes_per_rank": [rank_of(one.job) if stage == "distil" else 0 for one in rounds],
        "micro_batches_bytes": [
            int(one.job.micro_batches > 1 and stage in _TRAINING) for one in rounds
        ],
    }
    varying = {
        name: np.array(values, np.float64) for name, values in found.items() if len(set(values)) > 1
    }
    kept = np.array([footprints.kept_bytes(stage, one.job) for one in rounds], np.float64)
    beside = np.array([one.stages[stage].peak.private for one in rounds]) - kept
    alone = np.array([one.stages[stage].peak.resident for one in rounds]) - kept
    slopes = fit_slopes(varying, beside)
    grown = sum(slopes[name] * values for name, values in varying.items())
    levels = [level - grown for level in (beside, alone)]
    fixed = [float(level.mean() if varying else level.max()) for level in levels]
    return Footprint(
        beside_bytes=fixed[0],
        alone_bytes=fixed[1],
        residual_bytes=float(
            max(np.abs(level - mean).max() for level, mean in zip(levels, fixed, strict=True))
        ),
        **slopes,
        **_fitted_seconds(stage, rounds),
    )


def _fitted_seconds(stage: str, rounds: list[_Round]) -> dict[str, float]:
    """Fit a plane to the time of `stage`, over the utterances that it hears and their length."""
    heard = [heard_in(stage, one.job) for one in rounds]
    found = {
        "seconds_per_utterance": [float(len(examples)) for examples in heard],
        "seconds_per_audio_second": [
            sum(example.seconds for example in examples) for examples in heard
        ],
    }
    varying = {name: np.array(values) for name, values in found.items() if len(set(values)) > 1}
    seconds = np.array([one.stages[stage].seconds for one in rounds])
    if not varying:
        trained = _TRAINING_SECONDS if stage in _TRAINING else 0.0
        return {"seconds": max(0.0, float(seconds.min()) - trained)}
    slopes = fit_slopes(varying, seconds)
    fixed = seconds - sum(slopes[name] * values for name, values in varying.items())
    return {"seconds": max(0.0, float(fixed.mean())), **slopes}


def fit_slopes(
    varying: Mapping[str, NDArray[np.float64]], levels: NDArray[np.float64]
) -> dict[str, float]:
    """How `levels` grow with each of `varying`, by least squares.

    Longer utterances and a higher rank take no less memory: where noise says so (the kernel counts
    the models' files as a round's own while it has taken them from an idle daemon), they count as
    taking no more, so that no plan is made of it.
    """
    left = dict(varying)
    while True:
        columns = np.column_stack([np.ones(len(levels)), *left.values()])
        slopes = dict(zip(left, np.linalg.lstsq(columns, levels, rcond=None)[0][1:], strict=True))
        wrong = [name for name in _GROWING if slopes.get(name, 0.0) < 0]
        if not wrong:
            return {name: float(slopes.get(name, 0.0)) for name in varying}
        del left[min(wrong, key=lambda name: slopes[name] * float(np.ptp(left[name])))]


def _round(job: FootprintJob, number: int, shape: _Shape, report: Report) -> _Round:
    """Run a round of `shape`, and measure its stages.

    Every second utterance that is learnt from is short enough for the recogniser.
    """
    folder = job.folder / "rounds" / f"{number:04d}"
    (folder / "job").mkdir(parents=True)
    (folder / "generations").mkdir()
    (folder / "generations" / f"{BASE:04d}").symlink_to(job.base.resolve())
    (folder / "features").mkdir()
    (folder / "features" / "replay").symlink_to((job.features / "replay").resolve())
    short_seconds = min(shape.utterance_seconds, LONGEST_LEARNT_SECONDS)
    long, short = (
        _utterance(job.recordings, seconds, folder)
        for seconds in (shape.utterance_seconds, short_seconds)
    )
    examples = [
        (long if place < _HOLDOUT or place % 2 else short).model_copy(
            update={"id": f"{place}", "holdout": place < _HOLDOUT}
        )
        for place in range(shape.utterances)
    ]
    adapt = AdaptJob(
        folder=folder / "job",
        generations=folder / "generations",
        number=1,
        parent=BASE,
        engines=job.engines,
        features=folder / "features",
        examples=examples,
        general=job.recordings[:_GENERAL],
        system_prompt=job.system_prompt,
        trains_projector=read_generation(job.base).projector is not None,
        training_seconds=_TRAINING_SECONDS,
        recogniser=(
            RecogniserRecipe(seconds=_TRAINING_SECONDS, kept_always=True)
            if job.recognises
            else None
        ),
        distil=(DistilRecipe(seconds=_TRAINING_SECONDS, rank=shape.rank) if job.distils else None),
        reply_utterances=_HOLDOUT,
        threads=job.threads,
        micro_batches=shape.micro_batches,
    )
    stages = {stage: _Stage() for stage in adapt.stages}
    watchers: list[threading.Thread] = []

    def watch(process: int) -> None:
        watchers.append(threading.Thread(target=_watch, args=(process, adapt, stages), daemon=True))
        watchers[0].start()

    name = (
        f"{shape.utterances} utterances of {shape.utterance_seconds:g} s, rank {shape.rank},"
        f" {shape.micro_batches} micro-batches"
    )
    run_apart(adapt, name, report, watch)
    watchers[0].join()
    return _Round(adapt, stages)


def _watch(process: int, job: AdaptJob, stages: dict[str, _Stage]) -> None:
    """Record the memory and time of a process, for the stage that it is in, until it is gone."""
    folder = RoundFolder(job.folder)
    before = began = time.monotonic()
    last = None
    while (now := taken(process)).resident:
        stage = next((name for name in stages if not folder.is_done(name)), None)
        if stage != last:
            last, began = stage, before
        if stage is not None:
            stages[stage].seconds += time.monotonic() - before
            if time.monotonic() - began > _LEAVING_SECONDS:
                seen = stages[stage].peak
                stages[stage].peak = Taken(
                    max(seen.private, now.private), max(seen.resident, now.resident)
                )
        before = time.monotonic()
        time.sleep(_SAMPLED_SECONDS)


@dataclass(frozen=True)
class _Serving:
    """What was measured of the models that serve."""

    frame_width: int
    """The length of the encoder's frames."""
    answering_bytes: int
    """What answering takes more than waiting."""
    left_bytes: int
    """What stays behind once the models are closed."""


def _serving(job: FootprintJob) -> _Serving:
    """Open the models that serve, answer the longest utterance, and close them."""
    longest = _joined(job.recordings, max(job.lengths_seconds))[0]
    bare_bytes = proportional_bytes()
    engines = open_engines(job.engines, job.system_prompt, job.context_tokens, job.threads)
    frame_width = OnnxEncoder(job.engines.encoder, 1).frame_width
    answering_bytes = _answering_bytes(engines, job, longest)
    engines.close()
    del engines
    gc.collect()
    trim()
    return _Serving(frame_width, answering_bytes, max(0, proportional_bytes() - bare_bytes))


def _answering_bytes(engines: Engines, job: FootprintJob, samples: Float32) -> int:
    """The most memory that answering `samples` takes more than waiting."""
    base = read_generation(job.base)
    routes: list[Route] = [CascadeRoute(engines.transcriber_of(base))]
    if base.projector is not None:
        routes.insert(0, engines.aligned(base, True))
    waiting = most = proportional_bytes()
    done = threading.Event()

    def watch() -> None:
        nonlocal most
        while not done.wait(_SAMPLED_SECONDS):
            most = max(most, proportional_bytes())

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    for route in routes:
        heard = route.hear(samples)
        if not heard.empty:
            words = heard.text if isinstance(heard, Transcript) else heard
            list(engines.language_model.reply(words, 24))
            engines.language_model.reset()
    done.set()
    watcher.join()
    return most - waiting


def _utterance(recordings: list[Example], seconds: float, folder: Path) -> Example:
    """An utterance of recordings that are joined to the length of `seconds`."""
    samples, text = _joined(recordings, seconds)
    audio = folder / f"{seconds:g}.flac"
    write_flac(audio, samples)
    return Example(id="", audio=audio, text=text, origin="enrolled", seconds=seconds)


def _joined(recordings: list[Example], seconds: float) -> tuple[Float32, str]:
    """Join recordings to the length of `seconds`, and cut them there; returns the samples and the
    texts of the whole recordings among them."""
    pieces: list[Float32] = []
    texts: list[str] = []
    room = round(seconds * SAMPLE_RATE_HZ)
    for example in cycle(recordings):
        piece = read_audio(example.audio)[:room]
        room -= len(piece)
        pieces.append(piece)
        if not room:
            return np.concatenate(pieces), " ".join(texts) or example.text
        texts.append(example.text)
    raise AssertionError("a cycle has no end")
