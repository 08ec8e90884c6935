"""Whisper's log-mel spectrogram in numpy. Knows samples, not models.

Follows the reference (openai/whisper, audio.py): 400-sample periodic Hann window, hop 160, Slaney
mel filters up to 8 kHz, log10 clamped to 8 below its maximum, then (x + 4) / 4.
"""

from functools import cache

import numpy as np

from ..types import SAMPLE_RATE_HZ, Float32

WINDOW_SAMPLES = 400
HOP_SAMPLES = 160


@cache
def mel_filters(mel_bins: int) -> Float32:
    """[mel_bins, 201] Slaney-normalised triangular filters from 0 Hz to the Nyquist frequency."""
    corners_hz = _mel_to_hz(np.linspace(0.0, _hz_to_mel(SAMPLE_RATE_HZ / 2), mel_bins + 2))
    bins_hz = np.linspace(0.0, SAMPLE_RATE_HZ / 2, WINDOW_SAMPLES // 2 + 1)
    widths_hz = np.diff(corners_hz)
    ramps = corners_hz[:, None] - bins_hz[None, :]
    rising = -ramps[:-2] / widths_hz[:-1, None]
    falling = ramps[2:] / widths_hz[1:, None]
    triangles = np.maximum(0.0, np.minimum(rising, falling))
    triangles *= (2.0 / (corners_hz[2:] - corners_hz[:-2]))[:, None]
    return triangles.astype(np.float32)


def log_mel(samples: Float32, mel_bins: int = 80) -> Float32:
    """Log-mel spectrogram of `samples` ([N], at least 201), as [mel_bins, N // 160] float32."""
    padded = np.pad(samples, WINDOW_SAMPLES // 2, mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW_SAMPLES)[::HOP_SAMPLES]
    frames = frames[: len(samples) // HOP_SAMPLES]
    spectrum = np.fft.rfft(frames * _hann(), axis=1)
    power = (spectrum.real**2 + spectrum.imag**2).astype(np.float32)
    mel = np.log10(np.maximum(mel_filters(mel_bins) @ power.T, 1e-10))
    scaled: Float32 = ((np.maximum(mel, mel.max() - 8.0) + 4.0) / 4.0).astype(np.float32)
    return scaled


@cache
def _hann() -> Float32:
    return np.hanning(WINDOW_SAMPLES + 1)[:-1].astype(np.float32)


# Slaney's mel scale: linear below 1 kHz, logarithmic above, 27 steps for a factor of 6.4.
_LINEAR_HZ_PER_MEL = 200.0 / 3
_LOG_START_HZ = 1000.0
_LOG_START_MEL = _LOG_START_HZ / _LINEAR_HZ_PER_MEL
_LOG_STEP = np.log(6.4) / 27.0


def _hz_to_mel(hz: float) -> float:
    if hz < _LOG_START_HZ:
        return hz / _LINEAR_HZ_PER_MEL
    return float(_LOG_START_MEL + np.log(hz / _LOG_START_HZ) / _LOG_STEP)


def _mel_to_hz(mel: np.ndarray) -> np.ndarray:
    linear = mel * _LINEAR_HZ_PER_MEL
    logarithmic = _LOG_START_HZ * np.exp(_LOG_STEP * (mel - _LOG_START_MEL))
    return np.where(mel < _LOG_START_MEL, linear, logarithmic)
