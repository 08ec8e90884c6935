"""Synthetic speech: the command-line synthesizers of Debian (espeak-ng, flite), and Kokoro and
Piper. Knows texts and voices.

An atypical speaker is a voice whose phonemes are rewritten by phonological processes before
espeak-ng speaks them.
"""

import io
import re
from dataclasses import dataclass
from pathlib import Path

import soundfile
import soxr

from engines.device.commands import run_command
from engines.errors import AttuneError
from engines.types import SAMPLE_RATE_HZ, Float32
from engines.voices.kokoro import KOKORO_RATE_HZ, Kokoro
from engines.voices.piper import Piper

from .phonological_processes import rewrite

COMMAND_OF = {
    "espeak-ng": "espeak-ng",
    "flite": "flite",
    "kokoro": "espeak-ng",
    "piper": "espeak-ng",
}
"""The command that each synthesizer runs, which is also the name of the Debian package that brings
it."""

_USUAL_WORDS_PER_MINUTE = 160


@dataclass(frozen=True)
class Voice:
    """One way of speaking."""

    synthesizer: str
    """The synthesizer: `espeak-ng`, `flite`, `kokoro` or `piper`."""
    name: str
    """The synthesizer's own name for the voice, such as `en-us+f3`, `slt` or `af_bella`."""
    words_per_minute: int = 160
    pitch: int = 50
    """espeak-ng's pitch, 0 to 99; flite ignores it."""
    processes: tuple[tuple[str, str], ...] = ()
    """Rewriting rules (pattern, replacement) over espeak-ng's phonemes, in order; they make an
    atypical speaker."""


def speak(text: str, voice: Voice) -> Float32:
    """Synthesize `text` by espeak-ng or flite: [N] float32 samples at SAMPLE_RATE_HZ.

    Raises AttuneError where the synthesizer is not installed or fails.
    """
    if voice.synthesizer == "flite":
        stretch = _USUAL_WORDS_PER_MINUTE / voice.words_per_minute
        command = [
            "flite",
            "-voice",
            voice.name,
            "--setf",
            f"duration_stretch={stretch:.2f}",
            "-t",
            text,
            "-o",
            "/dev/stdout",
        ]
    else:
        spoken = f"[[{phonemes(text, voice)}]]" if voice.processes else text
        options = ["-v", voice.name, "-s", str(voice.words_per_minute), "-p", str(voice.pitch)]
        command = ["espeak-ng", *options, "--stdout", "--", spoken]
    samples, rate_hz = soundfile.read(io.BytesIO(run_command(command)), dtype="float32")
    return _at_our_rate(samples, rate_hz)


class Synthesizers:
    """Every synthesizer behind one call; the neural ones are opened at their first use."""

    def __init__(self, kokoro: Path | None, piper: Path | None) -> None:
        """`kokoro` is the folder of the model `kokoro-82m`, `piper` the graph of a Piper voice;
        None to do without."""
        self._kokoro_folder = kokoro
        self._piper_graph = piper
        self._kokoro: Kokoro | None = None
        self._piper: Piper | None = None

    def speak(self, text: str, voice: Voice) -> Float32:
        """Synthesize `text`: [N] float32 samples at SAMPLE_RATE_HZ. Raises AttuneError where the
        voice is missing or cannot say it."""
        speed = voice.words_per_minute / _USUAL_WORDS_PER_MINUTE
        if voice.synthesizer == "kokoro":
            if self._kokoro_folder is None:
                raise AttuneError(
                    "Kokoro's voices are not there; run `attune models fetch kokoro-82m`"
                )
            self._kokoro = self._kokoro or Kokoro(self._kokoro_folder, threads=1)
            return _at_our_rate(self._kokoro.speak(text, voice.name, speed), KOKORO_RATE_HZ)
        if voice.synthesizer == "piper":
            if self._piper_graph is None:
                raise AttuneError("Piper's voice is not there; run `attune models fetch piper-joe`")
            self._piper = self._piper or Piper(self._piper_graph, threads=1)
            return _at_our_rate(self._piper.speak(text, speed), self._piper.rate_hz)
        return speak(text, voice)


def describe(voice: Voice) -> str:
    """A description of `voice` in one line, for the index of a corpus."""
    atypical = f", {len(voice.processes)} rules" if voice.processes else ""
    return f"{voice.synthesizer} {voice.name}, {voice.words_per_minute} words a minute{atypical}"


def is_atypical(description: str) -> bool:
    """Whether a voice with this `description` is an atypical speaker's."""
    return re.search(r", \d+ rules$", description) is not None


def _at_our_rate(samples: Float32, rate_hz: int) -> Float32:
    resampled: Float32 = (
        soxr.resample(samples, rate_hz, SAMPLE_RATE_HZ) if rate_hz != SAMPLE_RATE_HZ else samples
    )
    return resampled


def phonemes(text: str, voice: Voice) -> str:
    """espeak-ng's phonemes of `text` after the voice's processes."""
    language = voice.name.split("+")[0]
    plain = (
        run_command(["espeak-ng", "-v", language, "-q", "-x", "--", text])
        .decode()
        .strip()
        .replace("\n", " ")
    )
    return rewrite(plain, voice.processes)
