"""Sounds and recordings for the tests of whatever listens."""

import struct
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import soundfile

from engines.audio.recordings import read_audio
from engines.types import SAMPLE_RATE_HZ, Float32


def tone(
    seconds: float, pitch_hz: float = 440.0, rate_hz: int = SAMPLE_RATE_HZ, amplitude: float = 0.3
) -> Float32:
    """[N] samples of a sine."""
    times = np.arange(round(seconds * rate_hz)) / rate_hz
    return (amplitude * np.sin(2 * np.pi * pitch_hz * times)).astype(np.float32)


def noise(seconds: float, amplitude: float = 0.1, seed: int = 0) -> Float32:
    """[N] samples of white noise, the same for the same seed."""
    return (
        amplitude * np.random.default_rng(seed).standard_normal(round(seconds * SAMPLE_RATE_HZ))
    ).astype(np.float32)


def pitch_hz(samples: Float32) -> float:
    """The loudest frequency, to within the resolution of a Fourier transform of all samples."""
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(spectrum.argmax() * SAMPLE_RATE_HZ / len(samples))


def write_wav(
    path: Path, samples: Float32, rate_hz: int = SAMPLE_RATE_HZ, subtype: str = "PCM_16"
) -> Path:
    """Write [N] or [N, channels] samples, with no check of what they hold."""
    soundfile.write(path, samples, rate_hz, format="WAV", subtype=subtype)
    return path


def cut_off(path: Path, keep: float) -> Path:
    """Truncate a file to the fraction `keep` of its bytes."""
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * keep)])
    return path


def wav_header(data_bytes: int) -> bytes:
    """The 44 bytes that stand before 16-bit mono samples, claiming that `data_bytes` of them
    follow."""
    layout = (16, 1, 1, SAMPLE_RATE_HZ, 2 * SAMPLE_RATE_HZ, 2, 16)
    return struct.pack(
        "<4sI4s4sIHHIIHH4sI",
        b"RIFF",
        36 + data_bytes,
        b"WAVE",
        b"fmt ",
        *layout,
        b"data",
        data_bytes,
    )


def prompt(general_speech: Path, name: str) -> Float32:
    """[N] samples of one real recording."""
    return read_audio(general_speech / f"{name}.g722")


def flite(text: str, voice: str = "slt") -> Float32:
    """[N] samples of one of flite's voices that reads `text`."""
    return _spoken("flite", "-voice", voice, "-t", text, "-o")


def espeak(text: str, voice: str = "en-us") -> Float32:
    """As `flite`, by one of espeak-ng's."""
    return _spoken("espeak-ng", "-v", voice, "-s", "150", text, "-w")


def _spoken(*command: str) -> Float32:
    """What `command` writes into the file that is put behind it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "said.wav"
        subprocess.run([*command, str(path)], check=True)
        return read_audio(path)
