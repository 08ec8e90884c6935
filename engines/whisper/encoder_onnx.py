"""The Whisper encoder in ONNX Runtime, on exactly as much audio as was spoken. Knows no transcripts
and no soft tokens."""

from functools import cached_property, partial
from pathlib import Path

from onnxruntime import InferenceSession, RunOptions

from ..errors import AttuneError
from ..onnx_session import open_session
from ..types import Float32
from .encoder import SpeechEncoder

ONNX_CPU, ONNX_GPU = "ONNX Runtime on the processor", "ONNX Runtime on the GPU"
_USUAL_COLUMNS = 1000
"""10 s: memory that longer audio takes is given back."""


class OnnxEncoder(SpeechEncoder):
    """Speech to frames."""

    def __init__(self, path: Path, threads: int, on_gpu: bool = False, later: bool = False) -> None:
        """Open `path`, an encoder written by `attune engines build`, or with `later` when it is
        used first or made ready.

        Raises AttuneError where it cannot be opened.
        """
        self._on_gpu = on_gpu
        self._open = partial(open_session, path, threads, "run `attune engines build`", on_gpu)
        if not later:
            self.ready()

    @cached_property
    def _session(self) -> InferenceSession:
        return self._open()

    @cached_property
    def mel_bins(self) -> int:  # type: ignore[override]  # cached: set by its first use
        return int(self._session.get_inputs()[0].shape[1])

    @cached_property
    def frame_width(self) -> int:  # type: ignore[override]
        return int(self._session.get_outputs()[0].shape[2])

    def ready(self) -> None:
        _ = self._session

    @property
    def runs_by(self) -> str:
        return ONNX_GPU if self._on_gpu else ONNX_CPU

    def run(self, mel: Float32) -> Float32:
        options = RunOptions()
        if mel.shape[1] > _USUAL_COLUMNS:  # a window takes 183 MB, which nobody needs again soon
            where = "cpu:0;gpu:0" if self._on_gpu else "cpu:0"
            options.add_run_config_entry("memory.enable_memory_arena_shrinkage", where)
        try:
            frames: Float32 = self._session.run(None, {"mel": mel[None]}, options)[0][0]
        except Exception as error:
            # ONNX Runtime raises its own classes, which share no base but Exception.
            raise AttuneError(
                f"{self.runs_by} could not encode: {str(error).splitlines()[0][:200]}"
            ) from error
        return frames
