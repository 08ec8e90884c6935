"""What every speech encoder does with samples, whichever runtime computes: it appends silence,
computes log-mel, and returns whole frames. Knows no runtime."""

import statistics
import time
from abc import ABC, abstractmethod

import numpy as np

from ..audio.mel import HOP_SAMPLES, log_mel
from ..errors import AttuneError
from ..spans import span
from ..types import SAMPLE_RATE_HZ, Float32

CLOSING_SILENCE_SECONDS = 0.5
"""The silence that is appended before encoding: Whisper's frames near the very end of its input are
unreliable."""

MAX_SECONDS = 30.0 - CLOSING_SILENCE_SECONDS
"""The longest utterance: the encoder has 1,500 positions of 20 ms."""

MAX_COLUMNS = 3000
"""The most log-mel columns, of which there are two for each frame."""
_SILENT_MEL = -0.6
"""The value of log-mel columns of silence, relative to speech of usual loudness."""


def encoder_mel(samples: Float32, mel_bins: int) -> Float32:
    """The encoder's input for `samples` ([N] at 16 kHz, up to MAX_SECONDS): log-mel of the shape
    [mel_bins, an even number of columns].

    Raises AttuneError for audio that is too long.
    """
    if len(samples) > MAX_SECONDS * SAMPLE_RATE_HZ:
        raise AttuneError(
            f"an utterance of {len(samples)} samples is over the encoder's {MAX_SECONDS:g} s; give"
            " a shorter one"
        )
    silence = np.zeros(int(CLOSING_SILENCE_SECONDS * SAMPLE_RATE_HZ), np.float32)
    padded = np.concatenate([samples, silence])
    even = len(padded) // (2 * HOP_SAMPLES) * (2 * HOP_SAMPLES)
    return log_mel(padded[:even], mel_bins)


def silent_window(mel_bins: int) -> Float32:
    """The log-mel [mel_bins, 3000] of a whole window in which nobody speaks."""
    return np.full((mel_bins, MAX_COLUMNS), _SILENT_MEL, np.float32)


def frame_cosines(ours: Float32, theirs: Float32) -> Float32:
    """The cosines [T] between the frames of two encoders ([T, D] each); 1 where they point the same
    way."""
    norms = np.linalg.norm(ours, axis=1) * np.linalg.norm(theirs, axis=1)
    found: Float32 = (ours * theirs).sum(1) / np.maximum(norms, 1e-9)
    return found


def median_milliseconds(encoder: "SpeechEncoder", mel: Float32, times: int) -> float:
    """The time that `encoder` takes for `mel` ([mel_bins, columns]): the median of `times` runs."""
    took = []
    for _ in range(times):
        began = time.perf_counter()
        encoder.run(mel)
        took.append(1000 * (time.perf_counter() - began))
    return statistics.median(took)


class SpeechEncoder(ABC):
    """Turns speech into frames; a runtime implements the abstract methods."""

    @property
    @abstractmethod
    def mel_bins(self) -> int:
        """The rows of log-mel that `run` takes."""

    @property
    @abstractmethod
    def frame_width(self) -> int:
        """The length D of a frame."""

    @property
    @abstractmethod
    def runs_by(self) -> str:
        """The runtime and the device that compute, for people."""

    @abstractmethod
    def run(self, mel: Float32) -> Float32:
        """[mel_bins, 2T] log-mel, T up to 1,500, to [T, frame_width] frames. Raises AttuneError
        where the runtime fails."""

    def ready(self) -> None:
        """Open what the encoder computes with, where that waits for its first use. Raises
        AttuneError where it cannot be opened."""
        return

    def encode(self, samples: Float32) -> Float32:
        """Encode `samples` ([N] at 16 kHz, up to MAX_SECONDS) to [T, frame_width] frames of 20 ms.

        Raises AttuneError for audio that is too long.
        """
        with span("encode"):
            return self.run(encoder_mel(samples, self.mel_bins))

    def encode_silent_window(self) -> Float32:
        """The 1,500 frames of a whole window in which nobody speaks."""
        return self.run(silent_window(self.mel_bins))
