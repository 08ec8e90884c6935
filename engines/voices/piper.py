"""One voice of Piper's: an ONNX graph that takes espeak-ng's phonemes."""

import json
import unicodedata
from pathlib import Path

import numpy as np

from ..errors import AttuneError
from ..onnx_session import open_session
from ..types import Float32
from .phonemes import ipa

_REMEDY = "run `attune models fetch piper-joe`"


class Piper:
    """One voice of Piper's."""

    def __init__(self, graph: Path, threads: int) -> None:
        """Open `graph` and the `.json` beside it. Raises AttuneError where one cannot be opened."""
        self._session = open_session(graph, threads, _REMEDY)
        try:
            about = json.loads(graph.with_name(graph.name + ".json").read_text())
        except (OSError, ValueError) as error:
            raise AttuneError(
                f"the description of {graph} cannot be read ({error}); {_REMEDY}"
            ) from None
        self._ids: dict[str, list[int]] = about["phoneme_id_map"]
        self._language: str = about["espeak"]["voice"]
        self.rate_hz: int = about["audio"]["sample_rate"]

    def speak(self, text: str, speed: float) -> Float32:
        """Speak `text`: [N] samples at `rate_hz`, none where it holds nothing to say. The graph
        draws its own noise, so no text sounds twice the same."""
        phonemes = unicodedata.normalize("NFD", ipa(text, self._language))
        if not phonemes:
            return np.zeros(0, np.float32)
        ids = [*self._ids["^"]]
        for phoneme in phonemes:
            if phoneme in self._ids:
                ids += [*self._ids["_"], *self._ids[phoneme]]
        ids += [*self._ids["_"], *self._ids["$"]]
        inputs = {
            "input": np.array([ids], np.int64),
            "input_lengths": np.array([len(ids)], np.int64),
            "scales": np.array([0.667, 1 / speed, 0.8], np.float32),
        }
        audio: Float32 = self._session.run(None, inputs)[0].reshape(-1)
        return audio
