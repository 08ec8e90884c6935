"""Measures the pauses within a recording of one sentence."""

import numpy as np

from engines.audio.segmenter import SegmenterLimits
from engines.audio.vad import CHUNK_SAMPLES, SileroVad
from engines.types import SAMPLE_RATE_HZ, Float32

_LIMITS = SegmenterLimits()


def longest_pause_seconds(samples: Float32, vad: SileroVad) -> float:
    """The longest silence between two stretches of speech in [N] `samples` at SAMPLE_RATE_HZ; 0 if
    there is none. `vad` forgets what it heard before."""
    vad.reset()
    padded = np.pad(samples, (0, -len(samples) % CHUNK_SAMPLES))
    speech, longest, run = False, 0, 0
    heard_any = False
    for probability in vad.probabilities(padded.reshape(-1, CHUNK_SAMPLES)) if len(padded) else []:
        threshold = _LIMITS.stop_threshold if speech else _LIMITS.start_threshold
        speech = probability >= threshold
        if speech:
            longest = max(longest, run if heard_any else 0)
            heard_any, run = True, 0
        else:
            run += 1
    return longest * CHUNK_SAMPLES / SAMPLE_RATE_HZ
