"""Opens ONNX Runtime sessions the one way Attune uses them. Knows no model."""

from pathlib import Path

import onnxruntime

from .errors import AttuneError


def open_session(graph: Path | bytes, threads: int, remedy: str) -> onnxruntime.InferenceSession:
    """Open `graph`, a file or what stands in one, on the CPU with `threads` threads.

    Raises AttuneError, ending in `remedy`, where the file is missing or is not a model that ONNX Runtime can load.
    """
    name = graph if isinstance(graph, Path) else "a graph"
    if isinstance(graph, Path) and not graph.is_file():
        raise AttuneError(f"{graph} is missing; {remedy}")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Spinning threads would take a core from the language model, which runs right after every session.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(
            str(graph) if isinstance(graph, Path) else graph, options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # ONNX Runtime raises its own classes, which share no base but Exception
        reason = str(error).splitlines()[0][:200]
        raise AttuneError(f"{name} cannot be loaded ({reason}); {remedy}") from error
