"""Chooses the encoder that serves, and says why: a TensorRT plan where there is a GPU, the library,
and a plan that was tried; else ONNX Runtime.

It knows when a plan must be built or tried, and leaves both to `whisper/plan_job.py`, in a process
of its own.
"""

import logging
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..device.crash_marker import marked, was_fatal
from ..errors import AttuneError
from ..jobs.engine_jobs import GraphPrecision, PlanJob
from ..types import Device, Float32
from .encoder import SpeechEncoder
from .encoder_onnx import ONNX_CPU, ONNX_GPU, Changes, OnnxEncoder
from .encoder_tensorrt import TensorRtEncoder
from .plan_cache import PlanKey, plan_path, quarantine, read_plan, read_quarantine, was_tried
from .precision import path_of, read_card
from .tensorrt_build import key_here

WORKSPACE_BYTES = 512 << 20
WantedPrecision = Literal["auto", "float32", "float16", "int8"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Choice:
    """The next step towards a plan for the encoder, and what serves meanwhile."""

    step: Literal["none", "wait", "build", "try", "open"]
    """The next step. `none`: there can be no plan here. `wait`: the plan is in quarantine for now.
    `build`: a plan must be built. `try`: a plan must be tried. `open`: the plan serves."""
    why: str
    """The reason, for people."""
    graph: Path
    """The encoder's graph in the precision of the plan."""
    precision: GraphPrecision
    key: PlanKey | None = None
    """The key of the plan; None where there can be no plan."""


def choose_encoder(
    encoder: Path, wanted: WantedPrecision, plans: Path, now: float, onnx_device: Device = "cpu"
) -> Choice:
    """Choose the next step for a plan of `encoder`; `now` is in seconds since the epoch.

    Without a plan ONNX Runtime serves on `onnx_device`: the GPU where it was found to compute
    there.
    """
    meanwhile = ONNX_GPU if onnx_device == "gpu" else ONNX_CPU
    precision, note = _precision(encoder, wanted)
    graph = encoder if precision == "float32" else path_of(encoder, precision)
    try:
        key = key_here(graph, precision, WORKSPACE_BYTES)
    except (AttuneError, OSError) as error:
        return Choice("none", f"{meanwhile}: {error}", graph, precision)
    if was_fatal(_mark(plans, key)):
        quarantine(plans, key, "the process that opened it ended there", now)
    refused = read_quarantine(plans, key)
    if refused is not None and not refused.is_over(now):
        why = f"{meanwhile}: the plan is not trusted ({refused.reason}), and is built anew later"
        return Choice("wait", why, graph, precision, key)
    if (card := read_plan(plans, key)) is None:
        return Choice("build", f"{meanwhile} until a plan is built{note}", graph, precision, key)
    if not was_tried(plans, card):
        return Choice("try", f"{meanwhile} until the plan was tried{note}", graph, precision, key)
    return Choice("open", f"TensorRT {key.tensorrt} in {precision}{note}", graph, precision, key)


def plan_job(choice: Choice, plans: Path, threads: int, *, tries_only: bool) -> PlanJob:
    """The job that tells a child process to build or try the plan of `choice`."""
    return PlanJob(
        graph=choice.graph,
        precision=choice.precision,
        plans=plans,
        workspace_bytes=WORKSPACE_BYTES,
        tries_only=tries_only,
        threads=threads,
    )


def open_encoder(
    choice: Choice,
    encoder: Path,
    plans: Path,
    threads: int,
    onnx_device: Device = "cpu",
    changes: Changes = nullcontext,
) -> SpeechEncoder:
    """Open the encoder that serves by `choice`, with `changes` to its graph. A plan takes them by
    being refitted, unless it is in 8 bits.

    A plan that cannot be opened, or that fails later, is put in quarantine, and ONNX Runtime on the
    processor takes its place. The same holds for ONNX Runtime on the GPU, until this is called
    again. Raises AttuneError where `encoder` cannot be opened at all.
    """
    standby = OnnxEncoder(encoder, threads, changes=changes, later=True)
    key, changed = choice.key, changes is not nullcontext
    if choice.step != "open" or key is None or (changed and choice.precision == "int8"):
        if onnx_device == "gpu":
            return _onnx_on_gpu(encoder, threads, standby, changes)
        return standby

    def failed(error: AttuneError) -> None:
        logger.warning("the encoder's plan is not used any more: %s", error)
        quarantine(plans, key, str(error), time.time())

    try:
        with marked(_mark(plans, key)), changes(choice.graph) as graph:
            plan = TensorRtEncoder(plan_path(plans, key), graph if changed else None)
    except AttuneError as error:
        failed(error)
        return standby
    return EncoderWithStandby(plan, standby, failed)


def _onnx_on_gpu(
    encoder: Path, threads: int, standby: OnnxEncoder, changes: Changes
) -> SpeechEncoder:
    def failed(error: AttuneError) -> None:
        logger.warning("the encoder runs on the processor from now on: %s", error)

    try:
        on_gpu = OnnxEncoder(encoder, threads, device="gpu", changes=changes)
        return EncoderWithStandby(on_gpu, standby, failed)
    except AttuneError as error:
        failed(error)
        return standby


class EncoderWithStandby(SpeechEncoder):
    """An encoder that is replaced by another when it fails once. The speaker notices only the time
    that this takes."""

    def __init__(
        self, first: SpeechEncoder, second: SpeechEncoder, failed: Callable[[AttuneError], None]
    ) -> None:
        self._serving = first
        self._second = second
        self._tell = failed

    @property
    def mel_bins(self) -> int:
        return self._serving.mel_bins

    @property
    def frame_width(self) -> int:
        return self._serving.frame_width

    @property
    def runs_by(self) -> str:
        return self._serving.runs_by

    def run(self, mel: Float32) -> Float32:
        serving = self._serving
        try:
            return serving.run(mel)
        except AttuneError as error:
            if serving is self._second:
                raise
            self._serving = self._second
            self._tell(error)
            return self._second.run(mel)


def _precision(encoder: Path, wanted: WantedPrecision) -> tuple[GraphPrecision, str]:
    """The precision to serve in, and a note about it for people."""
    if wanted == "float32":
        return "float32", ""
    chosen: Literal["float16", "int8"] = "float16" if wanted == "auto" else wanted
    card = read_card(encoder, chosen)
    if card is None:
        return "float32", f"; {chosen} was not made yet: run `attune calibrate int8`"
    return ("float32", f"; not in {chosen}: {card.problem}") if card.problem else (chosen, "")


def _mark(plans: Path, key: PlanKey) -> Path:
    return plan_path(plans, key).with_suffix(".opening")
