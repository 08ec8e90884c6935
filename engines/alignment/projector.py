"""Projects frames to units, through the ONNX graph of a generation. Knows no training and no
language model."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import AttuneError
from ..onnx_session import open_session
from ..types import Float32, Units

KNOWN_TOKENS = "heard_tokens"
"""The name of the graph's metadata that holds, as JSON, the ids of the tokens met in training."""
_LEAST_GROUPS = 2


class OnnxProjector:
    """The projector of one generation."""

    def __init__(self, path: Path, threads: int) -> None:
        """Open a generation's `projector.onnx`. Raises AttuneError where it cannot be opened or was
        made by an older Attune."""
        remedy = "choose another generation with `attune generations promote`"
        self._session = open_session(path, threads, remedy)
        if "pronunciations" not in {made.name for made in self._session.get_outputs()}:
            raise AttuneError(
                f"{path} was made by an older Attune; remove {path.parent} and run `attune engines"
                " build`"
            )
        inputs = {given.name: given for given in self._session.get_inputs()}
        self._stacked_width = int(inputs["stacked"].shape[2])
        # The graphs of stored generations call the first-pass transcript `draft`.
        self.reads_first_pass = "draft" in inputs
        """Whether the projector takes a first-pass transcript beside the frames."""
        self.first_pass_width = int(inputs["draft"].shape[2]) if self.reads_first_pass else 0
        """The width E + K of the rows and keys of a first-pass transcript; 0 where none is read."""
        metadata = self._session.get_modelmeta().custom_metadata_map
        self.known_tokens: list[int] = json.loads(metadata.get(KNOWN_TOKENS, "[]"))
        """The ids of the tokens that the projector met in training."""
        self.pronunciations: NDArray[np.uint8] = self._constant("pronunciations")
        """The phonemes [V, P] of each token of the vocabulary, with zeros after the last; all zeros
        where a token has none."""

    @property
    def keys(self) -> Float32:
        """The pronunciation keys [n, K] of the known tokens, in their order. They are computed at
        each access and not kept here."""
        return np.asarray(self._constant("keys"), np.float32)

    def _constant(self, name: str) -> NDArray[Any]:
        """The value of the output `name`, which depends on no input."""
        least = np.zeros((1, _LEAST_GROUPS, self._stacked_width), np.float32)
        no_first_pass = np.zeros((0, self.first_pass_width), np.float32)
        found: NDArray[Any] = self._session.run([name], self._inputs(least, 0, no_first_pass))[0]
        return found

    def project(self, frames: Float32, first_pass: Float32, asked: int = 0) -> Units:
        """Project [T, D] frames to `asked` units, or with 0 to as many as the projector finds, and
        at least one.

        T must be at least two stacks (120 ms). `first_pass` ([N, E + K], N may be 0) holds the
        embedding rows and pronunciation keys of a first-pass transcript; a projector that reads
        none ignores it.
        """
        stack = self._stacked_width // frames.shape[1]
        groups = len(frames) // stack
        stacked = np.ascontiguousarray(frames[: groups * stack], np.float32).reshape(
            1, groups, self._stacked_width
        )
        made = self._session.run(
            ["vectors", "count", "quantity", "phonemes"], self._inputs(stacked, asked, first_pass)
        )
        vectors, count, quantity, phonemes = made
        return Units(vectors[0, : int(count[0])], float(quantity[0]), phonemes[0])

    def _inputs(self, stacked: Float32, asked: int, first_pass: Float32) -> dict[str, NDArray[Any]]:
        given: dict[str, NDArray[Any]] = {"stacked": stacked, "asked": np.array([asked], np.int64)}
        if not self.reads_first_pass:
            return given
        # An empty input is no input.
        room = np.zeros((1, max(1, len(first_pass)), first_pass.shape[1]), np.float32)
        room[0, : len(first_pass)] = first_pass
        return given | {"draft": room, "draft_count": np.array([len(first_pass)], np.int64)}
