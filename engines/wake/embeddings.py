"""What a stream of speech sounds like, 12.5 times a second: the input of all wake words.

The model is openWakeWord's speech embedding, which comes with its package. It was trained to tell
words apart whoever says them.
"""

from typing import Any

import numpy as np

from ..errors import AttuneError
from ..types import SAMPLE_RATE_HZ, Float32

EMBEDDING_SIZE = 96
STEP_SAMPLES = 1280
STEP_SECONDS = STEP_SAMPLES / SAMPLE_RATE_HZ
CONTEXT_SECONDS = 0.8
"""What one embedding looks back at."""
REMEDY = "install the package pyopen-wakeword"


class SpeechEmbeddings:
    """Computes the embeddings of one stream, which was silent before it begins."""

    def __init__(self) -> None:
        """Open the model. Raises AttuneError where the package or its model is missing."""
        try:
            from pyopen_wakeword import OpenWakeWordFeatures

            self._features: Any = OpenWakeWordFeatures.from_builtin()
        except (ImportError, OSError, RuntimeError) as error:
            # OSError: its library cannot be loaded; RuntimeError: its model cannot be opened.
            raise AttuneError(f"wake words cannot be heard ({error}); {REMEDY}") from error
        self._waiting = np.zeros(0, np.float32)
        self.push(np.zeros(STEP_SAMPLES, np.float32))  # the package begins with 8 s of silence

    def forget(self) -> None:
        """Begin anew: what comes next follows silence."""
        self._waiting = np.zeros(0, np.float32)
        self.push(np.zeros(round(CONTEXT_SECONDS * SAMPLE_RATE_HZ) + STEP_SAMPLES, np.float32))
        self._waiting = np.zeros(0, np.float32)

    @property
    def waiting_seconds(self) -> float:
        """What was pushed and is in no embedding yet."""
        return len(self._waiting) / SAMPLE_RATE_HZ

    def push(self, samples: Float32) -> Float32:
        """Take the stream's next [n] samples, -1 to 1; returns the [m, EMBEDDING_SIZE] embeddings
        that are complete now, one for each STEP_SAMPLES."""
        self._waiting = np.concatenate([self._waiting, samples])
        found = [np.zeros((0, EMBEDDING_SIZE), np.float32)]
        while len(self._waiting) >= STEP_SAMPLES:
            step, self._waiting = self._waiting[:STEP_SAMPLES], self._waiting[STEP_SAMPLES:]
            pcm = (32767 * np.clip(step, -1.0, 1.0)).astype("<i2").tobytes()
            for embedding in self._features.process_streaming(pcm):
                found.append(np.asarray(embedding, np.float32).reshape(-1, EMBEDDING_SIZE))
        return np.concatenate(found)
