"""The Whisper encoder in ONNX Runtime, on exactly as much audio as was spoken. Knows no transcripts and no soft tokens."""

from pathlib import Path

import numpy as np
from onnxruntime import RunOptions

from .errors import AttuneError
from .mel import HOP_SAMPLES, log_mel
from .onnx_session import open_session
from .types import SAMPLE_RATE_HZ, Float32

CLOSING_SILENCE_SECONDS = 0.5
"""Silence appended before encoding: Whisper's frames near the very end of its input are unreliable."""

MAX_SECONDS = 30.0 - CLOSING_SILENCE_SECONDS
"""The encoder has 1,500 positions of 20 ms."""

_WINDOW_COLUMNS = 3000
_USUAL_COLUMNS = 1000
"""10 s: memory that longer audio takes is given back."""
_SILENT_MEL = -0.6
"""What log-mel columns of silence are beside speech of usual loudness."""


def encoder_mel(samples: Float32, mel_bins: int) -> Float32:
    """What an encoder is given of `samples` ([N] at 16 kHz, up to MAX_SECONDS): [mel_bins, an even number of columns].

    Raises AttuneError for audio that is too long.
    """
    if len(samples) > MAX_SECONDS * SAMPLE_RATE_HZ:
        raise AttuneError(f"an utterance of {len(samples) / SAMPLE_RATE_HZ:.1f} s is over the encoder's {MAX_SECONDS:.1f} s")
    silence = np.zeros(int(CLOSING_SILENCE_SECONDS * SAMPLE_RATE_HZ), np.float32)
    padded = np.concatenate([samples, silence])
    even = len(padded) // (2 * HOP_SAMPLES) * (2 * HOP_SAMPLES)
    return log_mel(padded[:even], mel_bins)


class OnnxEncoder:
    """Speech to frames."""

    def __init__(self, path: Path, threads: int) -> None:
        """Open `path`, an encoder written by `attune engines build`. Raises AttuneError where it cannot be opened."""
        self._session = open_session(path, threads, "run `attune engines build`")
        self.mel_bins = int(self._session.get_inputs()[0].shape[1])
        self.frame_width = int(self._session.get_outputs()[0].shape[2])

    def encode(self, samples: Float32) -> Float32:
        """Encode `samples` ([N] at 16 kHz, up to MAX_SECONDS) to [T, frame_width] frames of 20 ms.

        Raises AttuneError for audio that is too long.
        """
        return self._run(encoder_mel(samples, self.mel_bins))

    def encode_silent_window(self) -> Float32:
        """The 1,500 frames of a whole window in which nobody speaks."""
        return self._run(np.full((self.mel_bins, _WINDOW_COLUMNS), _SILENT_MEL, np.float32))

    def _run(self, mel: Float32) -> Float32:
        options = RunOptions()
        if mel.shape[1] > _USUAL_COLUMNS:  # a window takes 183 MB, which nobody needs again soon
            options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
        frames: Float32 = self._session.run(None, {"mel": mel[None]}, options)[0][0]
        return frames
