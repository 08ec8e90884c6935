"""Synthetic speech from the command-line synthesizers of Debian (espeak-ng, flite). Knows texts and voices, not models.

Also the atypical speakers: consistent phonological processes applied to espeak-ng's phonemes before they are spoken.
"""

import io
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

import soundfile
import soxr

from engines.errors import AttuneError
from engines.types import SAMPLE_RATE_HZ, Float32

SYNTHESIZERS = ("espeak-ng", "flite")
"""Their commands, and the Debian packages that bring them."""


@dataclass(frozen=True)
class Voice:
    """One way of speaking."""

    synthesizer: str
    """`espeak-ng` or `flite`."""
    name: str
    """The synthesizer's own name for the voice, such as `en-us+f3` or `slt`."""
    words_per_minute: int = 160
    pitch: int = 50
    """espeak-ng's pitch, 0 to 99; flite ignores it."""
    processes: tuple[tuple[str, str], ...] = ()
    """Rewriting rules (pattern, replacement) over espeak-ng's phonemes, in order: an atypical speaker."""


# The phonological processes of speech-sound disorders, as rules over espeak-ng's Kirshenbaum phonemes.
FRONTING = ((r"k", "t"), (r"g", "d"))
GLIDING = ((r"r(?=[aeiouAEIOU@V03])", "w"),)
LISP = ((r"tS", "ts"), (r"S", "s"), (r"(?<!t)s", "T"))
STOPPING = ((r"T", "t"), (r"D", "d"), (r"v", "b"), (r"f", "p"), (r"(?<!t)s(?!h)", "t"), (r"z", "d"))
LABIALISED_DENTALS = ((r"T", "f"), (r"D", "d"))
FINAL_CONSONANT_DELETION = ((r"[zt](?= |$)", ""),)


def speak(text: str, voice: Voice) -> Float32:
    """Synthesize `text`: [N] float32 samples at SAMPLE_RATE_HZ.

    Raises AttuneError where the synthesizer is not installed or fails.
    """
    if voice.synthesizer == "flite":
        stretch = 160 / voice.words_per_minute
        command = ["flite", "-voice", voice.name, "--setf", f"duration_stretch={stretch:.2f}", "-t", text, "-o", "/dev/stdout"]
    else:
        spoken = f"[[{phonemes(text, voice)}]]" if voice.processes else text
        options = ["-v", voice.name, "-s", str(voice.words_per_minute), "-p", str(voice.pitch)]
        command = ["espeak-ng", *options, "--stdout", "--", spoken]
    samples, rate_hz = soundfile.read(io.BytesIO(_run(command)), dtype="float32")
    resampled: Float32 = soxr.resample(samples, rate_hz, SAMPLE_RATE_HZ) if rate_hz != SAMPLE_RATE_HZ else samples
    return resampled


def phonemes(text: str, voice: Voice) -> str:
    """espeak-ng's phonemes of `text` after the voice's processes."""
    language = voice.name.split("+")[0]
    plain = _run(["espeak-ng", "-v", language, "-q", "-x", "--", text]).decode().strip().replace("\n", " ")
    return rewrite(plain, voice.processes)


def rewrite(plain: str, processes: Sequence[tuple[str, str]]) -> str:
    """Apply `processes` to a string of phonemes, in order."""
    for pattern, replacement in processes:
        plain = re.sub(pattern, replacement, plain)
    return plain


def require(name: str) -> None:
    """Raises AttuneError where the synthesizer `name` is not installed."""
    if shutil.which(name) is None:
        raise AttuneError(f"{name} is not installed; run `apt-get install {name}`")


def _run(command: list[str]) -> bytes:
    require(command[0])
    done = subprocess.run(command, capture_output=True, timeout=60, check=False)
    if done.returncode != 0 or (not done.stdout):
        raise AttuneError(f"{command[0]} failed ({done.stderr.decode(errors='replace').strip()[:200]})")
    return done.stdout
