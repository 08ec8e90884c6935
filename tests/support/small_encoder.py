"""A real encoder that takes milliseconds: one convolution of the log-mel, behind the inputs and
outputs of Whisper's."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

MEL_BINS, FRAME_WIDTH = 80, 384


def write_small_encoder(path: Path) -> Path:
    """Write the graph, its weights drawn at random: `mel` [1, 80, 2T] to `frames` [1, T, 384]."""
    weights = np.random.default_rng(0).standard_normal((FRAME_WIDTH, MEL_BINS, 3)) / MEL_BINS
    nodes = [
        helper.make_node("Conv", ["mel", "weights"], ["columns"], strides=[2], pads=[1, 1]),
        helper.make_node("Transpose", ["columns"], ["frames"], perm=[0, 2, 1]),
    ]
    graph = helper.make_graph(
        nodes,
        "small encoder",
        [helper.make_tensor_value_info("mel", TensorProto.FLOAT, [1, MEL_BINS, "columns"])],
        [helper.make_tensor_value_info("frames", TensorProto.FLOAT, [1, "frames", FRAME_WIDTH])],
        [numpy_helper.from_array(weights.astype(np.float32), "weights")],
    )
    opset = [helper.make_opsetid("", 18)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=9), path)
    return path
