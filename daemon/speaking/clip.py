"""Makes what a voice said ready to be played after what was said before. Pure."""

import numpy as np

from engines.types import Float32

_SILENT = 0.01
"""The level below which sound is silence, as a share of full scale."""
_LEAD_SECONDS = 0.02
"""Silence that stays before a clause: voices put up to 0.4 s there, which the user would wait."""
_LOUDNESS = 0.1
"""The root mean square of speech that every voice is brought to, as a share of full scale."""
_MOST_GAIN = 4.0
_MOST_PEAK = 0.95
_SENTENCE_PAUSE_SECONDS, _CLAUSE_PAUSE_SECONDS = 0.3, 0.12
_SENTENCE_ENDS = ".!?…"


def clip(samples: Float32, rate_hz: int, text: str) -> Float32:
    """[N] samples of the clause `text`, without the silence around them, at one loudness, and with
    the pause that follows the clause: a longer one after a sentence. Empty where all is silent."""
    loud = np.flatnonzero(np.abs(samples) > _SILENT)
    if not len(loud):
        return np.zeros(0, np.float32)
    lead = round(_LEAD_SECONDS * rate_hz)
    speech = samples[max(0, loud[0] - lead) : loud[-1] + lead]
    gain = min(
        _LOUDNESS / float(np.sqrt(np.mean(speech**2))),
        _MOST_PEAK / float(np.abs(speech).max()),
        _MOST_GAIN,
    )
    ends = text.rstrip("\"”')]*_ ")[-1:] in _SENTENCE_ENDS
    pause_seconds = _SENTENCE_PAUSE_SECONDS if ends else _CLAUSE_PAUSE_SECONDS
    pause = np.zeros(round(pause_seconds * rate_hz), np.float32)
    return np.concatenate([(gain * speech).astype(np.float32), pause])
