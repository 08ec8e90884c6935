"""Every claim that is made about a GPU, each a function that tries it on this machine.

A claim that cannot be tried, because there is no GPU or a library lacks it, raises AttuneError: it
was not run. One that does not hold raises Refuted. The first line of each docstring says what is
claimed, and is shown to people.
"""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ..audio.recordings import read_audio
from ..device.gpu import find_gpu, l4t_release
from ..errors import AttuneError
from ..jobs.engine_jobs import GraphPrecision, PlanJob
from ..schema import Frozen
from ..types import SAMPLE_RATE_HZ, Float32
from ..whisper.encoder import MAX_SECONDS, encoder_mel, frame_cosines, median_milliseconds
from ..whisper.encoder_onnx import OnnxEncoder
from ..whisper.encoder_tensorrt import TensorRtEncoder, cuda_runtime
from ..whisper.plan_cache import plan_path, read_plan
from ..whisper.plan_job import run as build_plan
from ..whisper.tensorrt_build import import_tensorrt, key_here

Figures = dict[str, object]
_LENGTHS_SECONDS = (2.0, 6.0, 15.0, 29.0)
_TIMED = 9
_MIN_COSINE = 0.99
_TENSORRT = ((10, 3), (12, 0))
"""The first TensorRT version that is supported, and the first that is not."""
_PROMPT = "The house is quiet, and somebody asks how the weather will be tomorrow."


class Request(Frozen):
    """The files and recordings that the claims are tried on."""

    encoder: Path
    """The encoder in float32."""
    graph: Path
    """The encoder in the precision that serves on a GPU."""
    precision: GraphPrecision
    language_model: Path
    whisper: Path
    """The CTranslate2 folder."""
    folder: Path
    """The folder for a plan of the self-test's own."""
    recordings: list[Path]
    threads: int = 2


class Refuted(Exception):
    """A claim does not hold; carries what was measured."""

    def __init__(self, why: str, figures: Figures) -> None:
        super().__init__(why)
        self.figures = figures


def driver(request: Request) -> Figures:
    """The driver knows of a GPU that can be used."""
    gpu = find_gpu()
    return {
        "name": gpu.name,
        "compute_capability": gpu.compute_capability,
        "cuda": gpu.driver,
        "integrated": gpu.integrated,
        "l4t": l4t_release(),
    }


def tensorrt(request: Request) -> Figures:
    """TensorRT is there, in a version that is supported."""
    find_gpu()
    version = str(import_tensorrt().__version__)
    major, minor = (int(part) for part in version.split(".")[:2])
    if not _TENSORRT[0] <= (major, minor) < _TENSORRT[1]:
        raise Refuted(f"TensorRT {version} was never tested", {"version": version})
    return {"version": version}


def plan(request: Request) -> Figures:
    """A plan of the encoder is built, opens, and makes the frames that ONNX Runtime makes."""
    job = _plan_job(request)
    find_gpu()
    build_plan(job)
    card = read_plan(job.plans, key_here(job.graph, job.precision, job.workspace_bytes))
    if card is None:
        raise Refuted("the plan that was just built is not there", {})
    return card.model_dump(mode="json", exclude={"key"})


def plan_frames(request: Request) -> Figures:
    """On recorded speech the plan's frames stay near those of the original in float32."""
    encoder, original = _opened_plan(request), OnnxEncoder(request.encoder, request.threads)
    cosines = []
    for path in request.recordings:
        mel = encoder_mel(read_audio(path, MAX_SECONDS), original.mel_bins)
        cosines.append(frame_cosines(encoder.run(mel), original.run(mel)))
    if not cosines:
        raise AttuneError("there are no recordings; run `attune models fetch`")
    mean = float(np.concatenate(cosines).mean())
    figures: Figures = {"recordings": len(cosines), "cosine": mean}
    if not mean >= _MIN_COSINE:
        raise Refuted(f"cosine {mean:.4f}, {_MIN_COSINE} needed", figures)
    return figures


def plan_speed(request: Request) -> Figures:
    """The plan is faster than ONNX Runtime on the processor, at every length."""
    encoder, original = _opened_plan(request), OnnxEncoder(request.encoder, request.threads)
    figures: Figures = {}
    slower = []
    for seconds in _LENGTHS_SECONDS:
        mel = encoder_mel(_noise(seconds), original.mel_bins)
        ours, theirs = (median_milliseconds(one, mel, _TIMED) for one in (encoder, original))
        figures[f"{seconds:g} s"] = {
            "tensorrt_ms": ours,
            "onnxruntime_ms": theirs,
            "ratio": ours / theirs,
        }
        slower += [seconds] if ours >= theirs else []
    if slower:
        raise Refuted(f"no faster at {slower} s", figures)
    return figures


def plan_memory(request: Request) -> Figures:
    """The plan takes less than 512 MiB of the GPU's memory."""
    path = _plan_path(request)
    before = _free_bytes()
    encoder = TensorRtEncoder(path)
    encoder.encode_silent_window()
    taken = before - _free_bytes()
    if not taken < 512 << 20:
        raise Refuted(f"it takes {taken >> 20} MiB", {"bytes": taken})
    return {"bytes": taken}


def onnxruntime_cuda(request: Request) -> Figures:
    """ONNX Runtime runs the encoder on the GPU, and makes the same frames."""
    find_gpu()
    original = OnnxEncoder(request.encoder, request.threads)
    mel = encoder_mel(_noise(6.0), original.mel_bins)
    ours = OnnxEncoder(request.encoder, request.threads, device="gpu")
    try:
        difference = float(np.abs(ours.run(mel) - original.run(mel)).max())
    except AttuneError as error:
        raise Refuted(str(error), {}) from None
    if not difference < 0.05:
        raise Refuted(f"frames differ by {difference:.3f}", {"difference": difference})
    return {"difference": difference}


def llama_cuda(request: Request) -> Figures:
    """llama.cpp computes on the GPU; rows of the table, given as vectors, mean there what their
    tokens mean."""
    find_gpu()
    import llama_cpp

    if not llama_cpp.llama_supports_gpu_offload():
        raise AttuneError(
            "llama.cpp was built without CUDA; docs/jetson.md has the line that builds it"
        )
    from ..llm.model import LlamaModel
    from ..llm.sequence import LlamaSequence
    from ..llm.vocabulary import Vocabulary

    vocabulary = Vocabulary(request.language_model)
    tokens = vocabulary.tokenize(_PROMPT)
    model = LlamaModel(request.language_model, device="gpu")
    sequence = LlamaSequence(model, 512, request.threads, None)
    began = time.perf_counter()
    sequence.append_tokens(tokens)
    seconds = time.perf_counter() - began
    by_tokens = sequence.logits().copy()
    sequence.truncate(0)
    sequence.append_vectors(vocabulary.rows(tokens))
    difference = float(np.abs(sequence.logits() - by_tokens).max())
    sequence.close()
    figures: Figures = {
        "tokens": len(tokens),
        "prompt_ms": 1000 * seconds,
        "difference": difference,
    }
    if not difference < 1e-2:
        raise Refuted(f"logits differ by {difference:.3f}", figures)
    return figures


def ctranslate2_cuda(request: Request) -> Figures:
    """CTranslate2 transcribes on the GPU."""
    find_gpu()
    import ctranslate2

    if ctranslate2.get_cuda_device_count() < 1:
        raise AttuneError(
            "CTranslate2 was built without CUDA: its arm64 packages are; it serves on the processor"
        )
    model = ctranslate2.models.Whisper(str(request.whisper), device="cuda")
    mel = encoder_mel(_noise(2.0), 80)
    window = np.zeros((1, 80, 3000), np.float32)
    window[0, :, : mel.shape[1]] = mel
    model.encode(ctranslate2.StorageView.from_array(window))
    return {"device": model.device}


CLAIMS: dict[str, Callable[[Request], Figures]] = {
    act.__name__: act
    for act in (
        driver,
        tensorrt,
        plan,
        plan_frames,
        plan_speed,
        plan_memory,
        onnxruntime_cuda,
        llama_cuda,
        ctranslate2_cuda,
    )
}


def _plan_job(request: Request) -> PlanJob:
    return PlanJob(
        graph=request.graph,
        precision=request.precision,
        plans=request.folder / "plans",
        threads=request.threads,
    )


def _plan_path(request: Request) -> Path:
    """The file of the plan that the claim `plan` built. Raises AttuneError where it built none."""
    job = _plan_job(request)
    find_gpu()
    key = key_here(job.graph, job.precision, job.workspace_bytes)
    if read_plan(job.plans, key) is None:
        raise AttuneError("no plan was built")
    return plan_path(job.plans, key)


def _opened_plan(request: Request) -> TensorRtEncoder:
    return TensorRtEncoder(_plan_path(request))


def _noise(seconds: float) -> Float32:
    return (0.1 * np.random.default_rng(0).standard_normal(int(seconds * SAMPLE_RATE_HZ))).astype(
        np.float32
    )


def _free_bytes() -> int:
    code, free, _ = cuda_runtime().cudaMemGetInfo()
    if int(code) != 0:
        raise AttuneError(f"cudaMemGetInfo failed on the GPU: {code!r}")
    return int(free)
