"""Builds a TensorRT plan and tries it, or tries one that is there. It runs in a process of its own
(`engines/__main__.py`), because TensorRT may end its process."""

import os
import time

from ..device.memory import peak_resident_bytes
from ..errors import AttuneError
from ..files import one_at_a_time, sha256_of, write_atomically
from ..jobs.engine_jobs import PlanJob
from ..jobs.messages import Report
from .encoder import SpeechEncoder, encoder_mel, frame_cosines, median_milliseconds
from .encoder_onnx import OnnxEncoder
from .encoder_tensorrt import TensorRtEncoder
from .plan_cache import PlanCard, PlanKey, keep_plan, note_tried, plan_path, read_plan, was_tried
from .probe_speech import probe_speech
from .tensorrt_build import build_plan, key_here

MIN_COSINE = 0.99
"""The least mean cosine between a plan's frames and those of ONNX Runtime: both compute the same
types, in another order."""
_TIMED = 5
_TIMING_CACHE = "timing.cache"


def run(job: PlanJob, report: Report = lambda stage, fraction, note: None) -> None:
    """Build or try the plan of `job`; `report` takes the progress. Where another process does the
    same meanwhile, it is waited for, and the work is not done again.

    Raises AttuneError, and leaves what was there, where the plan is not to be trusted.
    """
    key = key_here(job.graph, job.precision, job.workspace_bytes)
    with one_at_a_time(job.plans / ".lock") as waited:
        card = read_plan(job.plans, key) if waited and not job.tries_only else None
        if card is None or not was_tried(job.plans, card):
            _carry_out(job, key, report)


def _carry_out(job: PlanJob, key: PlanKey, report: Report) -> None:
    oracle = OnnxEncoder(job.graph, job.threads)
    if job.tries_only:
        report("try", 0.5, "opening the plan")
        _compare(TensorRtEncoder(plan_path(job.plans, key)), oracle)
        if (card := read_plan(job.plans, key)) is None:
            raise AttuneError("the plan is not what was built")
        note_tried(job.plans, card)
        return
    began = time.monotonic()
    report("build", 0.0, f"{job.graph.name} for TensorRT {key.tensorrt}")
    cache = job.plans / _TIMING_CACHE
    built = build_plan(
        job.graph,
        oracle.mel_bins,
        job.workspace_bytes,
        cache.read_bytes() if cache.is_file() else b"",
    )
    seconds = time.monotonic() - began
    beside = job.plans / f".{key.name}.{os.getpid()}"
    try:
        write_atomically(beside, built.plan)
        report("try", 0.9, f"built in {seconds:.0f} s")
        cosine, milliseconds = _compare(TensorRtEncoder(beside), oracle)
        card = PlanCard(
            key=key,
            sha256=sha256_of(beside),
            built_at=time.time(),
            build_seconds=seconds,
            peak_bytes=peak_resident_bytes(os.getpid()),
            cosine=cosine,
            milliseconds=milliseconds,
        )
        keep_plan(job.plans, card, beside)
        note_tried(job.plans, card)
    finally:
        beside.unlink(missing_ok=True)
    write_atomically(cache, built.timing_cache)


def _compare(encoder: SpeechEncoder, oracle: SpeechEncoder) -> tuple[float, float]:
    """The mean cosine between the frames of both encoders, and the milliseconds that `encoder`
    takes. Raises AttuneError where the frames differ."""
    mel = encoder_mel(probe_speech(), oracle.mel_bins)
    ours, theirs = encoder.run(mel), oracle.run(mel)
    if ours.shape != theirs.shape:
        raise AttuneError(
            f"the plan makes frames of the shape {ours.shape}, ONNX Runtime of {theirs.shape}"
        )
    cosine = float(frame_cosines(ours, theirs).mean())
    if not cosine >= MIN_COSINE:
        raise AttuneError(
            f"the plan's frames stray from ONNX Runtime's: cosine {cosine:.4f}, {MIN_COSINE} needed"
        )
    return cosine, median_milliseconds(encoder, mel, _TIMED)
