"""The speech encoder as a TensorRT plan, with buffers on the GPU and a stream of its own. Knows no
building and no cache of plans.

It is opened only where `find_gpu` finds a GPU and a child process has opened the plan before: a
faulty plan may end the process that opens it.
"""

import threading
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import AttuneError
from ..types import Float32
from .encoder import MAX_COLUMNS, SpeechEncoder
from .tensorrt_build import import_tensorrt, open_log

TENSORRT = "TensorRT"
_FLOAT_BYTES = 4


class TensorRtEncoder(SpeechEncoder):
    """The encoder as a TensorRT plan."""

    def __init__(self, plan: Path, changed: Path | None = None) -> None:
        """Open `plan`, with the weights of the graph `changed` where one is given: it is the graph
        that the plan was built from, with other values.

        Raises AttuneError where the plan is damaged, was built by another version or for another
        GPU, or cannot take those weights.
        """
        trt, self._cuda = import_tensorrt(), cuda_runtime()
        self._log = open_log(trt)
        self._runtime = trt.Runtime(self._log)
        self._engine = self._runtime.deserialize_cuda_engine(plan.read_bytes())
        if self._engine is None:
            raise AttuneError(
                f"TensorRT {trt.__version__} cannot open {plan.name}:"
                f" {self._log.last or 'it did not say why'}"
            )
        if changed is not None:
            self._refit(trt, changed)
        names = {
            self._engine.get_tensor_mode(name): name
            for name in map(self._engine.get_tensor_name, range(2))
        }
        self._mel = names[trt.TensorIOMode.INPUT]
        self._frames = names[trt.TensorIOMode.OUTPUT]
        self._mel_bins = int(self._engine.get_tensor_shape(self._mel)[1])
        self._frame_width = int(self._engine.get_tensor_shape(self._frames)[2])
        self._context = self._engine.create_execution_context()
        if self._context is None:
            raise AttuneError(f"the GPU has no memory for {plan.name}: {self._log.last}")
        self._stream = self._call("cudaStreamCreate")
        self._mel_at = self._call("cudaMalloc", _FLOAT_BYTES * self._mel_bins * MAX_COLUMNS)
        self._frames_at = self._call(
            "cudaMalloc", _FLOAT_BYTES * self._frame_width * MAX_COLUMNS // 2
        )
        self._context.set_tensor_address(self._mel, self._mel_at)
        self._context.set_tensor_address(self._frames, self._frames_at)
        self._lock = threading.Lock()
        """Protects the execution context and its buffers, which only one thread may use at a
        time."""

    @property
    def mel_bins(self) -> int:
        return self._mel_bins

    @property
    def frame_width(self) -> int:
        return self._frame_width

    @property
    def runs_by(self) -> str:
        return TENSORRT

    def run(self, mel: Float32) -> Float32:
        """[mel_bins, 2T] log-mel to [T, frame_width] frames, as in SpeechEncoder. Raises
        AttuneError where the GPU fails."""
        given = np.ascontiguousarray(mel[None], np.float32)
        frames = np.empty((mel.shape[1] // 2, self.frame_width), np.float32)
        kinds = self._cuda.cudaMemcpyKind
        with self._lock:
            if not self._context.set_input_shape(self._mel, given.shape):
                raise AttuneError(
                    f"the plan takes no log-mel of {mel.shape[1]} columns: {self._log.last}"
                )
            stream = int(self._stream)
            there, back = kinds.cudaMemcpyHostToDevice, kinds.cudaMemcpyDeviceToHost
            self._call(
                "cudaMemcpyAsync",
                self._mel_at,
                given.ctypes.data,
                given.nbytes,
                there,
                self._stream,
            )
            if not self._context.execute_async_v3(stream):
                raise AttuneError(f"the GPU could not run the encoder: {self._log.last}")
            self._call(
                "cudaMemcpyAsync",
                frames.ctypes.data,
                self._frames_at,
                frames.nbytes,
                back,
                self._stream,
            )
            self._call("cudaStreamSynchronize", self._stream)
        return frames

    def _refit(self, trt: Any, graph: Path) -> None:
        refitter = trt.Refitter(self._engine, self._log)
        parser = trt.OnnxParserRefitter(refitter, self._log)
        if not parser.refit_from_file(str(graph)):
            said = [parser.get_error(index).desc() for index in range(min(parser.num_errors, 3))]
            told = "; ".join(said) or self._log.last
            raise AttuneError(f"the plan does not take the recogniser's weights: {told}")
        if not refitter.refit_cuda_engine():
            raise AttuneError(f"the plan cannot be refitted on the GPU: {self._log.last}")

    def close(self) -> None:
        """Free the GPU's memory."""
        with self._lock:
            for address in (self._mel_at, self._frames_at):
                self._call("cudaFree", address)
            self._call("cudaStreamDestroy", self._stream)
            del self._context, self._engine, self._runtime

    def _call(self, name: str, *arguments: Any) -> Any:
        """Call the function `name` of the CUDA runtime and return its result. Raises AttuneError
        with its error."""
        code, *found = getattr(self._cuda, name)(*arguments)
        if int(code) != 0:
            raise AttuneError(f"{name} failed on the GPU: {code!r}")
        return found[0] if found else None


def cuda_runtime() -> Any:
    """The bindings of the CUDA runtime. Raises AttuneError where they are not installed."""
    try:
        from cuda.bindings import runtime
    except ImportError as error:
        raise AttuneError(
            f"the CUDA bindings are not there ({error}); install the package cuda-bindings"
        ) from error
    return runtime
