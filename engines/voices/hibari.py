"""Hibari: a small English voice whose model comes with its package. Knows no loudspeaker.

Its package would fetch other voices by itself, over the network; Attune opens only the one that the
package contains.
"""

from collections.abc import Callable

import numpy as np

from ..errors import AttuneError
from ..types import Float32

_REMEDY = "reinstall the package hibari-tts"
_SEED = 0
"""The noise in the voice is drawn anew for each sentence; with a seed a sentence always sounds the
same."""


def open_hibari(speed: float, threads: int) -> tuple[int, Callable[[str], Float32]]:
    """Open the voice. Returns its sample rate and what says a text, `speed` times as fast as usual.
    Raises AttuneError where the package or its model is missing or damaged."""
    try:
        from hibari import Hibari

        voice = Hibari(threads=threads)
        voice.phonemize("Ready.")  # opens the lexicon, which its first use would do otherwise
    except Exception as error:  # the package and ONNX Runtime raise classes that share no base
        raise AttuneError(
            f"the voice hibari cannot be opened ({_first_line(error)}); {_REMEDY}"
        ) from error

    def speak(text: str) -> Float32:
        try:
            said = np.asarray(voice(text, speed=speed, seed=_SEED), np.float32)
        except Exception as error:
            raise AttuneError(f"the voice hibari failed ({_first_line(error)})") from error
        return said

    return int(voice.sample_rate), speak


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
