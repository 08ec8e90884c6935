"""Two seconds of sound that an encoder takes for speech, the same on every machine: plans are
compared on it. Knows no encoder."""

import numpy as np

from ..types import SAMPLE_RATE_HZ, Float32

PROBE_SECONDS = 2.0
_PITCH_HZ = 120.0
_SYLLABLES_PER_SECOND = 4.0
_FORMANTS_HZ = ((700.0, 1200.0), (300.0, 2300.0), (500.0, 900.0), (400.0, 2000.0))
"""The first and second formant of each of four syllables."""


def probe_speech() -> Float32:
    """[N] samples at 16 kHz: a buzz of falling pitch, shaped by the formants of four vowels in
    turn, with some noise."""
    times = np.arange(round(PROBE_SECONDS * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    pitch_hz = _PITCH_HZ * (1.1 - 0.1 * times)
    phase = 2 * np.pi * np.cumsum(pitch_hz) / SAMPLE_RATE_HZ
    syllable = (times * _SYLLABLES_PER_SECOND).astype(int) % len(_FORMANTS_HZ)
    loudness = np.sin(np.pi * (times * _SYLLABLES_PER_SECOND % 1.0)) ** 2
    sound = np.zeros_like(times)
    for harmonic in range(1, 30):
        hertz = harmonic * pitch_hz
        nearness = sum(
            np.exp(-(((hertz - np.array(_FORMANTS_HZ)[syllable, place]) / 150.0) ** 2))
            for place in (0, 1)
        )
        sound += nearness * np.sin(harmonic * phase) / np.sqrt(harmonic)
    noise = np.random.default_rng(0).standard_normal(len(times))
    return (0.2 * loudness * sound + 0.002 * noise).astype(np.float32)
