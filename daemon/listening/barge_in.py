"""Notices that somebody speaks while the loudspeaker plays, by what is left of the sound once the
echo is taken out.

An echo canceller takes much of a voice away, too, while both sound: voice activity detection alone
finds a third of the speakers too late. But of an echo it knows it leaves hardly more than the noise
of the room. So what is clearly louder than that noise for a while is somebody.
"""

from collections import deque

import numpy as np

from engines.types import Float32

_LOUDER_DB = 12.0
_LOUD_CHUNKS, _OF_CHUNKS = 3, 5
"""Of so many chunks in a row, so many are loud: a tenth of a second at least."""
_LEAST_PROBABILITY = 0.3
"""The probability of speech that one of these chunks has at least: neither a clap nor what is left
of an echo is speech."""
_NOISE_CHUNKS = 160
_NOISE_SHARE = 0.2
"""The noise of the room is the level that this share of the last chunks without echo is below."""
_LEAST_NOISE_DB = -57.0
"""No room is quieter; what is left of an echo may be louder than a microphone without noise."""


class BargeIn:
    """Looks at one stream, chunk by chunk."""

    def __init__(self) -> None:
        self._quiet: deque[float] = deque([_LEAST_NOISE_DB], _NOISE_CHUNKS)
        """Levels of the last chunks without echo."""
        self._loud: deque[bool] = deque(maxlen=_OF_CHUNKS)
        self._probabilities: deque[float] = deque(maxlen=_OF_CHUNKS)
        self._noise_db = _LEAST_NOISE_DB
        self._echoed = False

    def push(self, chunk: Float32, probability: float, echoes: bool) -> bool:
        """Take the next [n] samples, the probability that they are speech, and whether an echo was
        taken out of them. Returns whether somebody speaks over what is played."""
        here_db = float(10 * np.log10(np.mean(chunk**2) + 1e-12))
        if not echoes:
            self._echoed = False
            self._quiet.append(max(_LEAST_NOISE_DB, here_db))
            self._loud.clear()
            self._probabilities.clear()
            return False
        if not self._echoed:
            self._noise_db = float(np.quantile(self._quiet, _NOISE_SHARE))
        self._echoed = True
        self._loud.append(here_db > self._noise_db + _LOUDER_DB)
        self._probabilities.append(probability)
        noticed = sum(self._loud) >= _LOUD_CHUNKS
        noticed = noticed and max(self._probabilities) >= _LEAST_PROBABILITY
        if noticed:
            self._loud.clear()
            self._probabilities.clear()
        return noticed
