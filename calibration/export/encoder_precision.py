"""Writes the speech encoder in half precision, and in 8 bits with Q/DQ nodes of its own. Knows no
verdict.

The graph itself states the precision, so every runtime (ONNX Runtime, or TensorRT as a strongly
typed network) computes the same types.
"""

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path

import numpy as np
import onnx
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)
from onnxruntime.transformers.float16 import convert_float_to_float16
from onnxruntime.transformers.onnx_model import OnnxModel

from engines.files import write_beside
from engines.types import Float32

METHODS = {"entropy": CalibrationMethod.Entropy, "percentile": CalibrationMethod.Percentile}
WINDOW_COLUMNS = 200
"""The log-mel columns of a calibration window, 2 s: the histograms of both methods need inputs of
one length."""
_PERCENTILE = 99.999
_IN_FLOAT = ("LayerNormalization", "Softmax")
"""Operators that stay in float32: they sum over many values or take their exponentials."""


def write_float16(source: Path, path: Path) -> None:
    """Write the encoder `source` with float16 weights and activations as `path`; its input and
    output stay float32."""

    def convert(written: Path) -> None:
        model = OnnxModel(
            convert_float_to_float16(
                onnx.load(source), keep_io_types=True, op_block_list=list(_IN_FLOAT)
            )
        )
        model.topological_sort()  # the casts were appended
        del model.model.graph.value_info[:]  # some still says what was before them
        onnx.save(model.model, written)

    _write(path, convert)


def write_int8(source: Path, path: Path, mels: Sequence[Float32], method: str) -> None:
    """Write the encoder `source` with 8-bit convolutions and linear layers as `path`.

    `mels` ([mel_bins, columns] each) show how large activations become; those shorter than
    WINDOW_COLUMNS are not used. `method` is one of METHODS. Scales are symmetric, because TensorRT
    takes no zero points, and those of weights are per output channel. The outputs of layers stay in
    float: the encoder's residual sums reach values beside which all others would round to nothing
    (cosine 0.977 with 8-bit outputs, 0.996 without). So do the products of attention, normalisation
    and softmax.

    Raises ValueError where no utterance is long enough.
    """
    windows = [window for mel in mels for window in _windows(mel)]
    if not windows:
        raise ValueError("no utterance is as long as a window of calibration")
    graph = onnx.load(source).graph
    constant = {initializer.name for initializer in graph.initializer}
    layers = [
        node.name
        for node in graph.node
        if node.op_type in ("Conv", "MatMul") and node.input[1] in constant
    ]

    def quantize(written: Path) -> None:
        with _quiet():
            quantize_static(
                source,
                written,
                _Windows(graph.input[0].name, windows),
                quant_format=QuantFormat.QDQ,
                per_channel=True,
                activation_type=QuantType.QInt8,
                weight_type=QuantType.QInt8,
                nodes_to_quantize=layers,
                calibrate_method=METHODS[method],
                extra_options={
                    "ActivationSymmetric": True,
                    "WeightSymmetric": True,
                    "CalibPercentile": _PERCENTILE,
                    "OpTypesToExcludeOutputQuantization": ["Conv", "MatMul"],
                },
                calibration_providers=["CPUExecutionProvider"],
            )

    _write(path, quantize)


class _Windows(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, name: str, windows: Sequence[Float32]) -> None:
        self._left = iter([{name: window[None]} for window in windows])

    def get_next(self) -> dict[str, Float32] | None:
        return next(self._left, None)


def _windows(mel: Float32) -> Iterator[Float32]:
    for start in range(0, mel.shape[1] - WINDOW_COLUMNS + 1, WINDOW_COLUMNS):
        yield np.ascontiguousarray(mel[:, start : start + WINDOW_COLUMNS])


def _write(path: Path, write: Callable[[Path], None]) -> None:
    """Have `write` write the graph `path`; it is checked before it is put in its place."""
    with write_beside(path) as beside:
        write(beside)
        onnx.checker.check_model(str(beside), full_check=True)


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence ONNX Runtime's quantizer, which advises, on the root logger and by print, against
    what was decided here on purpose."""
    root = logging.getLogger()
    before = root.level
    root.setLevel(logging.ERROR)
    with Path(os.devnull).open("w") as nowhere:
        try:
            with redirect_stdout(nowhere):
                yield
        finally:
            root.setLevel(before)
