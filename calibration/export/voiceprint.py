"""`python -m calibration.export.voiceprint PRETRAINED.pt VOICEPRINT.onnx`: makes the model that
tells voices apart of the weights that Resemblyzer publishes (`resemblyzer/pretrained.pt` in its
package of version 0.1.4).

These are a voice encoder trained with the generalized end-to-end loss (Wan et al. 2018,
arXiv 1710.10467): three LSTM layers of 256 over 40 mel bins, a linear layer and ReLU. The file is a
pickle, which is read here alone, and of which nothing but tensors is taken.
"""

import argparse
import hashlib
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

from engines.errors import AttuneError
from engines.files import write_atomically
from engines.voiceprint.model import MEL_BINS, PRINT_SIZE, WINDOW_FRAMES

PUBLISHED_SHA256 = "39373b86598fa3da9fcddee6142382efe09777e8d37dc9c0561f41f0070f134e"
_HIDDEN, _LAYERS = 256, 3
_OPSET = 17


def voiceprint_graph(weights: dict[str, torch.Tensor]) -> onnx.ModelProto:
    """The graph: `mel` [N, WINDOW_FRAMES, MEL_BINS] to `print` [N, PRINT_SIZE], each of
    length 1."""
    stored, nodes = [], [helper.make_node("Transpose", ["mel"], ["layer0"], perm=[1, 0, 2])]

    def keep(name: str, value: np.ndarray) -> str:
        stored.append(numpy_helper.from_array(np.ascontiguousarray(value, np.float32), name))
        return name

    for layer in range(_LAYERS):
        parts = [
            keep(f"W{layer}", _gates(weights[f"lstm.weight_ih_l{layer}"])[None]),
            keep(f"R{layer}", _gates(weights[f"lstm.weight_hh_l{layer}"])[None]),
            keep(
                f"B{layer}",
                np.concatenate(
                    [_gates(weights[f"lstm.bias_{kind}_l{layer}"]) for kind in ("ih", "hh")]
                )[None],
            ),
        ]
        nodes += [
            helper.make_node(
                "LSTM",
                [f"layer{layer}", *parts],
                [f"all{layer}", f"last{layer}"],
                hidden_size=_HIDDEN,
            ),
            helper.make_node("Squeeze", [f"all{layer}", "direction"], [f"layer{layer + 1}"]),
        ]
    keep("linear", weights["linear.weight"].numpy().T)
    keep("bias", weights["linear.bias"].numpy())
    stored.append(numpy_helper.from_array(np.array([1], np.int64), "direction"))
    stored.append(numpy_helper.from_array(np.array([0], np.int64), "first"))
    nodes += [
        helper.make_node("Squeeze", [f"last{_LAYERS - 1}", "first"], ["last"]),
        helper.make_node("MatMul", ["last", "linear"], ["projected"]),
        helper.make_node("Add", ["projected", "bias"], ["added"]),
        helper.make_node("Relu", ["added"], ["positive"]),
        helper.make_node("LpNormalization", ["positive"], ["print"], axis=1, p=2),
    ]
    graph = helper.make_graph(
        nodes,
        "voiceprint",
        [_value("mel", [None, WINDOW_FRAMES, MEL_BINS])],
        [_value("print", [None, PRINT_SIZE])],
        stored,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=9)
    onnx.checker.check_model(model)
    return model


def _gates(value: torch.Tensor) -> np.ndarray:
    """From torch's order of gates (i, f, g, o) to ONNX's (i, o, f, c)."""
    i, f, g, o = value.numpy().reshape(4, _HIDDEN, *value.shape[1:])
    return np.concatenate([i, o, f, g])


def _value(name: str, shape: list[int | None]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def read_published(path: Path) -> dict[str, torch.Tensor]:
    """The weights in the published file. Raises AttuneError if it is another."""
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != PUBLISHED_SHA256:
        raise AttuneError(f"{path} is not the published file (sha256 {found[:12]})")
    state: dict[str, torch.Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    return dict(state["model_state"])


def main() -> None:
    """Make the graph."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("published", type=Path, help="Resemblyzer's pretrained.pt")
    parser.add_argument("graph", type=Path)
    given = parser.parse_args()
    write_atomically(
        given.graph, voiceprint_graph(read_published(given.published)).SerializeToString()
    )


if __name__ == "__main__":
    main()
