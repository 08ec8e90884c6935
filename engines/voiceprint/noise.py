"""Noise that is added to recordings, so that a profile knows how its user sounds in noise."""

from typing import Literal, get_args

import numpy as np

from ..types import Float32

Noise = Literal["none", "white", "pink"]
NOISES: tuple[Noise, ...] = get_args(Noise)
_SIGNAL_TO_NOISE_DB = 10.0


def with_noise(samples: Float32, noise: Noise) -> Float32:
    """Return [N] samples with noise that is 10 dB weaker, always the same for one recording."""
    if noise == "none" or not len(samples):
        return samples
    added = np.random.default_rng(len(samples)).standard_normal(len(samples))
    if noise == "pink":  # its power falls with the frequency
        spectrum = np.fft.rfft(added)
        spectrum /= np.sqrt(np.maximum(1, np.arange(len(spectrum))))
        added = np.fft.irfft(spectrum, len(samples))
    wanted = np.sqrt(np.mean(samples**2)) * 10 ** (-_SIGNAL_TO_NOISE_DB / 20)
    scale = wanted / max(float(np.sqrt(np.mean(added**2))), 1e-9)
    return np.asarray(samples + added * scale, np.float32)
