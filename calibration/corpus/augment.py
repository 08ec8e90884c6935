"""Augments speech at random as rooms, lines and microphones do: speed, reverberation, noise, band
limits, gain, clipping.

Knows samples, not voices. Everything is a function of the samples and the random generator.
"""

import numpy as np
import soxr

from engines.types import SAMPLE_RATE_HZ, Float32

_NARROWEST_HZ = (3000.0, 3800.0)
"""The range of upper band limits, about that of a telephone."""


def augment(samples: Float32, rng: np.random.Generator) -> Float32:
    """An augmented copy of [N] float32 samples at SAMPLE_RATE_HZ: [M] samples within -1 and 1.
    About three in ten stay clean."""
    if rng.random() < 0.3:
        return clipped(samples * _gain(rng))
    x = samples
    if rng.random() < 0.4:
        x = faster(x, rng.uniform(0.88, 1.14))
    if rng.random() < 0.3:
        x = reverberated(x, rng.uniform(0.1, 0.6), rng)
    if rng.random() < 0.5:
        x = noisy(x, rng.uniform(5, 30), rng)
    if rng.random() < 0.15:
        x = band_limited(x, rng.uniform(60, 350), rng.uniform(*_NARROWEST_HZ))
    return clipped(x * _gain(rng))


def faster(samples: Float32, ratio: float) -> Float32:
    """The samples played `ratio` times as fast, and so higher: another speed, pitch and size of
    throat."""
    resampled: Float32 = soxr.resample(samples, SAMPLE_RATE_HZ * ratio, SAMPLE_RATE_HZ)
    return resampled


def reverberated(samples: Float32, rt60_seconds: float, rng: np.random.Generator) -> Float32:
    """The samples in a room whose sound falls by 60 dB in `rt60_seconds`: the direct sound, and
    noise that decays as the room does."""
    length = int(rt60_seconds * SAMPLE_RATE_HZ)
    tail = rng.standard_normal(length) * 10 ** (-3 * np.arange(length) / length)
    tail[: int(0.002 * SAMPLE_RATE_HZ)] = 0.0
    tail *= rng.uniform(0.2, 0.9) / np.linalg.norm(tail)
    tail[0] = 1.0
    size = len(samples) + length
    wet = np.fft.irfft(np.fft.rfft(samples, size) * np.fft.rfft(tail, size), size)[: len(samples)]
    return wet.astype(np.float32)


def noisy(samples: Float32, signal_to_noise_db: float, rng: np.random.Generator) -> Float32:
    """The samples with noise whose spectrum falls by 0 to 12 dB an octave (hiss to rumble), and at
    times the hum of the mains."""
    size = len(samples)
    frequency_hz = np.fft.rfftfreq(size, 1 / SAMPLE_RATE_HZ)
    shape = np.maximum(frequency_hz, 40.0) ** -rng.uniform(0, 2)
    noise = np.fft.irfft(np.fft.rfft(rng.standard_normal(size)) * shape, size)
    noise /= max(float(noise.std()), 1e-9)
    if rng.random() < 0.2:
        mains_hz, times = rng.choice([50.0, 60.0]), np.arange(size) / SAMPLE_RATE_HZ
        noise += sum(
            rng.uniform(0, 0.5) * np.sin(2 * np.pi * mains_hz * n * times) for n in (1, 2, 3)
        )
    level = float(np.sqrt(np.mean(samples**2))) * 10 ** (-signal_to_noise_db / 20)
    return (samples + level * noise).astype(np.float32)


def band_limited(samples: Float32, low_hz: float, high_hz: float) -> Float32:
    """The samples between two frequencies, with slopes of a fifth of each."""
    spectrum = np.fft.rfft(samples)
    frequency_hz = np.fft.rfftfreq(len(samples), 1 / SAMPLE_RATE_HZ)
    rise = np.clip((frequency_hz - 0.9 * low_hz) / (0.2 * low_hz), 0, 1)
    fall = np.clip((1.1 * high_hz - frequency_hz) / (0.2 * high_hz), 0, 1)
    return np.fft.irfft(spectrum * rise * fall, len(samples)).astype(np.float32)


def clipped(samples: Float32) -> Float32:
    """The samples cut off at full scale."""
    return np.clip(samples, -1.0, 1.0)


def _gain(rng: np.random.Generator) -> float:
    """A random gain of -18 to +6 dB: too loud now and then."""
    return float(10 ** (rng.uniform(-18, 6) / 20))
