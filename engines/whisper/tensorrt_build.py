"""Builds a TensorRT plan from an encoder's graph, with the interface that TensorRT 10.3 to 11
share. Runs in a child process only.

The network is strongly typed: precisions are those of the graph, and no flag asks for others (11
has none any more).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..device.gpu import find_gpu, l4t_release
from ..errors import AttuneError
from ..files import sha256_of
from ..jobs.engine_jobs import GraphPrecision
from .encoder import MAX_COLUMNS
from .plan_cache import PlanKey

MIN_COLUMNS, USUAL_COLUMNS = 8, 600
"""The log-mel columns of the shortest input that the graph takes, and of the six seconds for which
the plan is tuned."""
_SHOWN_ERRORS = 3


@dataclass(frozen=True)
class Built:
    plan: bytes
    timing_cache: bytes
    """Measurements that make the next build of the same layers quick."""


def import_tensorrt() -> Any:
    """Import TensorRT's Python module. Raises AttuneError where it or its libraries are not
    installed."""
    try:
        import tensorrt
    except ImportError as error:
        raise AttuneError(
            f"TensorRT is not there ({error}); on a Jetson install python3-libnvinfer"
        ) from error
    return tensorrt


def key_here(graph: Path, precision: GraphPrecision, workspace_bytes: int) -> PlanKey:
    """The key under which a plan of `graph` may be used on this machine.

    Raises AttuneError where there is no GPU or no TensorRT, and OSError where the graph cannot be
    read.
    """
    capability = find_gpu().compute_capability  # the driver is asked before TensorRT is touched
    return PlanKey(
        graph_sha256=sha256_of(graph),
        precision=precision,
        tensorrt=str(import_tensorrt().__version__),
        compute_capability=capability,
        l4t=l4t_release(),
        workspace_bytes=workspace_bytes,
    )


def build_plan(
    graph: Path, mel_bins: int, workspace_bytes: int, timing_cache: bytes = b""
) -> Built:
    """Parse and build `graph`, an encoder of `mel_bins`. Raises AttuneError with TensorRT's own
    message where it cannot."""
    trt = import_tensorrt()
    log = open_log(trt)
    builder = trt.Builder(log)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, log)
    if not parser.parse_from_file(str(graph)):
        said = [
            parser.get_error(index).desc() for index in range(min(parser.num_errors, _SHOWN_ERRORS))
        ]
        raise AttuneError(
            f"TensorRT {trt.__version__} cannot read {graph.name}: {'; '.join(said) or log.last}"
        )
    config = builder.create_builder_config()
    config.set_flag(trt.BuilderFlag.REFIT)  # a recogniser's weights take the place of these
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, workspace_bytes)
    # What another version or another GPU measured is refused, and the build begins without.
    cache = config.create_timing_cache(timing_cache)
    if not config.set_timing_cache(cache, False):
        config.set_timing_cache(config.create_timing_cache(b""), False)
    profile = builder.create_optimization_profile()
    name = network.get_input(0).name
    profile.set_shape(
        name, *((1, mel_bins, columns) for columns in (MIN_COLUMNS, USUAL_COLUMNS, MAX_COLUMNS))
    )
    config.add_optimization_profile(profile)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise AttuneError(
            f"TensorRT {trt.__version__} built nothing of {graph.name}:"
            f" {log.last or 'it did not say why'}"
        )
    return Built(bytes(plan), bytes(config.get_timing_cache().serialize()))


def open_log(trt: Any) -> Any:
    """A logger for TensorRT, which keeps the last error as `last`."""

    class Log(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.last = ""

        def log(self, severity: Any, message: str) -> None:
            if severity in (trt.ILogger.Severity.ERROR, trt.ILogger.Severity.INTERNAL_ERROR):
                self.last = message.strip()[:300]

    return Log()
