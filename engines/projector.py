"""Frames to soft tokens, through the ONNX graph of a generation. Knows no training and no language model."""

import json
from pathlib import Path

import numpy as np

from .onnx_session import open_session
from .types import Float32, SoftTokens

HEARD_TOKENS = "heard_tokens"
"""Name of the graph's metadata that holds, as JSON, the ids of the tokens met in training."""


class OnnxProjector:
    """The projector of one generation."""

    def __init__(self, path: Path, threads: int) -> None:
        """Open a generation's `projector.onnx`. Raises AttuneError where it cannot be opened."""
        self._session = open_session(path, threads, "choose another generation with `attune generations promote`")
        inputs = {given.name: given for given in self._session.get_inputs()}
        self._stacked_width = int(inputs["stacked"].shape[2])
        self.reads_draft = "draft" in inputs
        """Whether it takes a draft transcript beside the frames."""
        metadata = self._session.get_modelmeta().custom_metadata_map
        self.heard_tokens: list[int] = json.loads(metadata.get(HEARD_TOKENS, "[]"))
        """Ids of the tokens that it met in training."""

    def project(self, frames: Float32, draft: Float32) -> SoftTokens:
        """[T, D] frames to soft tokens, at least one. T must be at least two stacks (120 ms).

        `draft` ([N, E], N may be 0) holds the embedding rows of a draft transcript; who reads none ignores it.
        """
        stack = self._stacked_width // frames.shape[1]
        groups = len(frames) // stack
        stacked = np.ascontiguousarray(frames[: groups * stack], np.float32).reshape(1, groups, self._stacked_width)
        inputs = {"stacked": stacked}
        if self.reads_draft:
            room = np.zeros((1, max(1, len(draft)), draft.shape[1]), np.float32)  # an empty input is no input
            room[0, : len(draft)] = draft
            inputs |= {"draft": room, "draft_count": np.array([len(draft)], np.int64)}
        vectors, count, quantity = self._session.run(["vectors", "count", "quantity"], inputs)
        return SoftTokens(vectors[0, : int(count[0])], float(quantity[0]))
