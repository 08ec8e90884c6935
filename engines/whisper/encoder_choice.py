"""Which encoder serves: a TensorRT plan where GPU, library and a plan that was tried are there,
else ONNX Runtime; and why.

Knows when a plan must be built or tried, and does neither: `whisper/plan_job.py` does, in a process
of its own.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..device.crash_marker import marked, was_fatal
from ..errors import AttuneError
from ..jobs.engine_jobs import GraphPrecision, PlanJob
from ..types import Device, Float32
from .encoder import SpeechEncoder
from .encoder_onnx import ONNX_CPU, ONNX_GPU, OnnxEncoder
from .encoder_tensorrt import TensorRtEncoder
from .plan_cache import PlanKey, plan_path, quarantine, read_plan, read_quarantine, was_tried
from .precision import path_of, read_card
from .tensorrt_build import key_here

WORKSPACE_BYTES = 512 << 20
WantedPrecision = Literal["auto", "float32", "float16", "int8"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Choice:
    """What is to be done about a plan for the encoder, and what serves meanwhile."""

    step: Literal["none", "wait", "build", "try", "open"]
    """`none`: there can be no plan here. `wait`: it is not trusted, for now. `open`: it serves."""
    why: str
    """For people."""
    graph: Path
    """The encoder in the precision of the plan."""
    precision: GraphPrecision
    key: PlanKey | None = None
    """None where there can be no plan."""


def choose_encoder(
    encoder: Path, wanted: WantedPrecision, plans: Path, now: float, onnx_device: Device = "cpu"
) -> Choice:
    """What to do about a plan of `encoder`; `now` is in seconds since the epoch.

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
    """What a child process is told to do about the plan of `choice`."""
    return PlanJob(
        graph=choice.graph,
        precision=choice.precision,
        plans=plans,
        workspace_bytes=WORKSPACE_BYTES,
        tries_only=tries_only,
        threads=threads,
    )


def open_encoder(
    choice: Choice, encoder: Path, plans: Path, threads: int, onnx_device: Device = "cpu"
) -> SpeechEncoder:
    """The encoder that serves by `choice`.

    A plan that cannot be opened, or that fails later, gives way to ONNX Runtime on the processor
    and is quarantined. ONNX Runtime on the GPU gives way, too, until this is called again. Raises
    AttuneError where `encoder` cannot be opened at all.
    """
    standby = OnnxEncoder(encoder, threads, later=True)
    key = choice.key
    if choice.step != "open" or key is None:
        return _onnx_on_gpu(encoder, threads, standby) if onnx_device == "gpu" else standby

    def failed(error: AttuneError) -> None:
        logger.warning("the encoder's plan is not used any more: %s", error)
        quarantine(plans, key, str(error), time.time())

    try:
        with marked(_mark(plans, key)):
            plan = TensorRtEncoder(plan_path(plans, key))
    except AttuneError as error:
        failed(error)
        return standby
    return EncoderWithStandby(plan, standby, failed)


def _onnx_on_gpu(encoder: Path, threads: int, standby: OnnxEncoder) -> SpeechEncoder:
    def failed(error: AttuneError) -> None:
        logger.warning("the encoder runs on the processor from now on: %s", error)

    try:
        return EncoderWithStandby(OnnxEncoder(encoder, threads, device="gpu"), standby, failed)
    except AttuneError as error:
        failed(error)
        return standby


class EncoderWithStandby(SpeechEncoder):
    """An encoder until it fails once, another from then on: nobody who speaks is to notice more
    than the time that it takes."""

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
    """The precision to serve in, and what is to be said of it."""
    if wanted == "float32":
        return "float32", ""
    chosen: Literal["float16", "int8"] = "float16" if wanted == "auto" else wanted
    card = read_card(encoder, chosen)
    if card is None:
        return "float32", f"; {chosen} was not made yet: run `attune calibrate int8`"
    return ("float32", f"; not in {chosen}: {card.problem}") if card.problem else (chosen, "")


def _mark(plans: Path, key: PlanKey) -> Path:
    return plan_path(plans, key).with_suffix(".opening")
