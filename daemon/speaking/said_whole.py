"""A whole text as one piece of sound. Knows no loudspeaker."""

import numpy as np

from engines.types import Float32
from engines.voices.voice import Voice

from .clauses import ClauseCutter
from .clip import clip


def said_whole(voice: Voice, text: str) -> Float32:
    """What `voice` says of `text`: [N] samples at its rate, as the loudspeaker would play them.
    Raises AttuneError if the voice fails."""
    cutter = ClauseCutter()
    clauses = [*cutter.push(text), *cutter.flush()]
    clips = [clip(voice.speak(clause), voice.rate_hz, clause) for clause in clauses]
    return np.concatenate([np.zeros(0, np.float32), *clips])
