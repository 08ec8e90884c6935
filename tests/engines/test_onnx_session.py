"""A graph is opened from its file, and from its content, which some models hold in parts."""

from pathlib import Path

import numpy as np
import pytest

from engines.errors import AttuneError
from engines.onnx_session import open_session


def test_a_file_and_its_content_are_the_same_graph(encoder_path: Path) -> None:
    mel = np.random.default_rng(0).standard_normal((1, 80, 100)).astype(np.float32)
    ours, theirs = (
        open_session(graph, 1, "make it anew").run(None, {"mel": mel})[0]
        for graph in (encoder_path, encoder_path.read_bytes())
    )
    assert np.array_equal(ours, theirs)


def test_what_is_no_graph_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(AttuneError, match=r"gone\.onnx is missing; make it anew"):
        open_session(tmp_path / "gone.onnx", 1, "make it anew")
    with pytest.raises(AttuneError, match="a graph cannot be loaded .*; make it anew"):
        open_session(b"not a graph", 1, "make it anew")
