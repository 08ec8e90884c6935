"""The Whisper encoder in ONNX Runtime, on exactly as much audio as was spoken. Knows no transcripts
and no soft tokens."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

import numpy as np
from onnxruntime import InferenceSession, RunOptions

from ..errors import AttuneError
from ..onnx_session import open_session
from ..types import Device, Float32
from .changed_files import copy_in_memory
from .encoder import SpeechEncoder

ONNX_CPU, ONNX_GPU = "ONNX Runtime on the processor", "ONNX Runtime on the GPU"
_REMEDY = "run `attune engines build`"
_USUAL_COLUMNS = 1000
"""The columns of 10 s: the memory that longer audio takes is given back."""


Changes = Callable[[Path], AbstractContextManager[Path]]
"""Gives the path of a changed copy of a graph, which is there as long as the context lasts."""


@contextmanager
def with_layers(graph: Path, changed: Iterable[tuple[str, Float32, Float32]]) -> Iterator[Path]:
    """A file in memory like the encoder `graph`, for as long as the context lasts, with other
    weights of linear layers: of each its name, the weight [outputs, inputs] in `graph`, and the one
    that takes its place.

    The graph's exporter gives a linear layer's weight no name, and stores it transposed, in float32
    or float16: it is found by its values. Raises AttuneError where the file cannot be read, or does
    not hold a weight that is to be changed.
    """
    with copy_in_memory(graph, _REMEDY) as copy:
        for name, before, after in changed:
            for dtype in (np.float32, np.float16):
                stored = np.ascontiguousarray(before.T, dtype).tobytes()
                start = copy.content.find(stored, 0)
                if start >= 0:
                    other = np.ascontiguousarray(after.T, dtype).tobytes()
                    copy.content[start : start + len(stored)] = other
                    break
            else:
                raise AttuneError(
                    f"{graph} does not hold the weights of {name}: it was not exported from this"
                    " speech model; remove it and run `attune engines build`"
                )
        yield copy.path


class OnnxEncoder(SpeechEncoder):
    """The encoder that `attune engines build` wrote, in ONNX Runtime."""

    def __init__(
        self,
        graph: Path,
        threads: int,
        *,
        device: Device = "cpu",
        changes: Changes = nullcontext,
        later: bool = False,
    ) -> None:
        """Open `graph`, an encoder written by `attune engines build`, with `changes`, on `device`;
        with `later` only when it is first used or made ready.

        Raises AttuneError where it cannot be opened.
        """
        self._graph = graph
        self._threads = threads
        self._device = device
        self._changes = changes
        self._opened: InferenceSession | None = None
        if not later:
            self.ready()

    @property
    def mel_bins(self) -> int:
        return int(self._session().get_inputs()[0].shape[1])

    @property
    def frame_width(self) -> int:
        return int(self._session().get_outputs()[0].shape[2])

    def _session(self) -> InferenceSession:
        if self._opened is None:
            with self._changes(self._graph) as graph:
                self._opened = open_session(graph, self._threads, _REMEDY, device=self._device)
            self._changes = nullcontext  # what the changes hold is freed
        return self._opened

    def ready(self) -> None:
        self._session()

    @property
    def runs_by(self) -> str:
        return ONNX_GPU if self._device == "gpu" else ONNX_CPU

    def run(self, mel: Float32) -> Float32:
        options = RunOptions()
        if mel.shape[1] > _USUAL_COLUMNS:  # a window takes 183 MB, seldom needed
            where = "cpu:0;gpu:0" if self._device == "gpu" else "cpu:0"
            options.add_run_config_entry("memory.enable_memory_arena_shrinkage", where)
        try:
            frames: Float32 = self._session().run(None, {"mel": mel[None]}, options)[0][0]
        except Exception as error:
            # ONNX Runtime raises its own classes, which share no base but Exception.
            raise AttuneError(
                f"{self.runs_by} could not encode: {str(error).splitlines()[0][:200]}"
            ) from error
        return frames


def onnx_opener(graph: Path, threads: int) -> Callable[[Changes], OnnxEncoder]:
    """Opens the encoder of `graph`, with changes to it, in ONNX Runtime on the processor, when it
    is first used."""
    return lambda changes: OnnxEncoder(graph, threads, changes=changes, later=True)
