"""Opens ONNX Runtime sessions with the options that every model here needs. Knows no model."""

from pathlib import Path

import onnxruntime

from .encryption.files import read_file
from .encryption.folders import ring_of
from .errors import AttuneError
from .types import Device

_CPU, _CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
_CUDA_OPTIONS = {"use_tf32": "0", "arena_extend_strategy": "kSameAsRequested"}
"""CUDA computes in full float32, as the projector was trained, and takes no more memory than is
asked for."""


def open_session(
    graph: Path | bytes, threads: int, remedy: str, *, device: Device = "cpu"
) -> onnxruntime.InferenceSession:
    """Open `graph`, a file or the content of one, on `device`; on the CPU with `threads` threads.

    Raises AttuneError, ending in `remedy`, where the file is missing or is not a model that ONNX
    Runtime can load there.
    """
    name = graph if isinstance(graph, Path) else "a graph"
    if isinstance(graph, Path) and not graph.is_file():
        raise AttuneError(f"{graph} is missing; {remedy}")
    if device == "gpu" and _CUDA not in onnxruntime.get_available_providers():
        how = (
            f"ONNX Runtime {onnxruntime.__version__} was built without CUDA; install"
            " onnxruntime-gpu"
        )
        raise AttuneError(f"{name} cannot be loaded on the GPU: {how}")
    content = graph if isinstance(graph, bytes) else str(graph)
    if isinstance(graph, Path) and ring_of(graph) is not None:
        content = read_file(graph)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Spinning threads would take a core from the language model, which runs right after every
    # session.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    providers = [(_CUDA, _CUDA_OPTIONS), _CPU] if device == "gpu" else [_CPU]
    try:
        session = onnxruntime.InferenceSession(content, options, providers=providers)
    except Exception as error:
        # ONNX Runtime raises its own classes, which share no base but Exception.
        reason = str(error).splitlines()[0][:200]
        raise AttuneError(f"{name} cannot be loaded ({reason}); {remedy}") from error
    # Without CUDA's libraries ONNX Runtime takes the processor, and says nothing.
    if device == "gpu" and _CUDA not in session.get_providers():
        raise AttuneError(
            f"{name} cannot be loaded on the GPU: CUDA's libraries are missing or not those it was"
            " built for"
        )
    return session
