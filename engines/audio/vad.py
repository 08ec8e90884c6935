"""Silero voice activity detection, a few chunks at a time. Knows no segments.

The model is the ONNX file inside the faster-whisper package. It is found without importing that
package, which would load CTranslate2.
"""

from importlib.util import find_spec
from pathlib import Path

import numpy as np

from ..errors import AttuneError
from ..onnx_session import open_session
from ..types import Float32

CHUNK_SAMPLES = 512
"""The one chunk size that the model was trained on: 32 ms."""

_CONTEXT_SAMPLES = 64
_STATE_SHAPE = (1, 1, 128)
_REMEDY = "reinstall the package faster-whisper"


class SileroVad:
    """Computes the probability of speech in each chunk of one stream; it remembers the chunks
    before."""

    _context: Float32
    _h: Float32
    _c: Float32

    def __init__(self, threads: int = 1) -> None:
        """Open the model. Raises AttuneError where it is missing or damaged."""
        self._session = open_session(_model_path(), threads, _REMEDY)
        self.reset()

    def probabilities(self, chunks: Float32) -> list[float]:
        """The probability, 0 to 1, of speech in each of the stream's next [n, CHUNK_SAMPLES]
        chunks.

        Where the processor sleeps in between, most of the time goes to waking the model: four
        chunks take twice as long as one. Raises ValueError for chunks of another shape.
        """
        if chunks.shape[1:] != (CHUNK_SAMPLES,) or not len(chunks):
            raise ValueError(f"chunks have shape (1 or more, {CHUNK_SAMPLES}), not {chunks.shape}")
        # A copy: the caller may reuse its buffer.
        ends = np.concatenate([self._context[None], chunks[:, -_CONTEXT_SAMPLES:]])
        samples = np.concatenate([ends[:-1], chunks], axis=1)
        probabilities, self._h, self._c = self._session.run(
            None, {"input": samples, "h": self._h, "c": self._c}
        )
        self._context = ends[-1]
        return [float(probability) for probability in probabilities.reshape(-1)]

    def reset(self) -> None:
        """Forget the stream: the next chunk is the first of another."""
        self._h = np.zeros(_STATE_SHAPE, np.float32)
        self._c = np.zeros(_STATE_SHAPE, np.float32)
        self._context = np.zeros(_CONTEXT_SAMPLES, np.float32)


def _model_path() -> Path:
    package = find_spec("faster_whisper")
    if package is None or package.origin is None:
        raise AttuneError(
            f"the voice activity model cannot be found: faster-whisper is not installed; {_REMEDY}"
        )
    return Path(package.origin).parent / "assets" / "silero_vad_v6.onnx"
