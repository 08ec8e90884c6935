"""A voice that is a command: it reads a text on its standard input and writes a WAV file to its
standard output."""

import io
import shlex
from collections.abc import Callable, Sequence

import numpy as np
import soundfile

from ..device.commands import require, run_command
from ..errors import AttuneError
from ..types import Float32

_USUAL_WORDS_PER_MINUTE = 175
"""The pace of espeak-ng where it is given none."""
_MOST_SECONDS = 120.0
"""Most sound that is taken from one run."""


def open_espeak(language: str, speed: float) -> tuple[int, Callable[[str], Float32]]:
    """espeak-ng in `language`, a code such as `de`. Raises AttuneError where it is not installed or
    does not know the language."""
    pace = str(round(_USUAL_WORDS_PER_MINUTE * speed))
    return _open(["espeak-ng", "-v", language, "-s", pace, "--stdin", "--stdout"])


def open_command(command: str) -> tuple[int, Callable[[str], Float32]]:
    """The voice that `command` is, as a shell would read it; no shell is started. Raises
    AttuneError where it is not installed or writes no sound."""
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise AttuneError(f"speaking.command cannot be read ({error}): {command}") from None
    if not words:
        raise AttuneError("speaking.command is empty; give the command that is the voice")
    return _open(words)


def _open(command: Sequence[str]) -> tuple[int, Callable[[str], Float32]]:
    """Returns the sample rate of what `command` says, which one word shows, and what says a
    text."""
    require(command[0])

    def said(text: str) -> tuple[Float32, int]:
        written = run_command(command, text.encode())
        try:
            with soundfile.SoundFile(io.BytesIO(written)) as sound:
                samples = sound.read(
                    round(_MOST_SECONDS * sound.samplerate), "float32", always_2d=True
                )
                return samples[:, 0].copy(), sound.samplerate
        except soundfile.LibsndfileError as error:
            raise AttuneError(f"{command[0]} wrote no WAV file ({error})") from error

    rate_hz = said("Ready.")[1]

    def speak(text: str) -> Float32:
        if not text.strip():
            return np.zeros(0, np.float32)
        samples, given_hz = said(text)
        if given_hz != rate_hz:
            raise AttuneError(f"{command[0]} changed its sample rate to {given_hz} Hz")
        return samples

    return rate_hz, speak
