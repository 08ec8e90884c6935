"""A transcript from encoder frames alone: Whisper's decoder on frames that end where the utterance ends. Knows no samples.

The decoder was trained on windows of 30 seconds, and invents text on shorter ones. It is the window's *end* that it misses: with
the last second of an empty window's frames put behind the utterance's own it reads about as well as from the padded window, in a
seventh of the time (docs/measurements.md). Those frames are computed once, when the encoder is opened.
"""

import math

import ctranslate2
import numpy as np

from .encoder_onnx import OnnxEncoder
from .transcriber import WhisperTranscriber
from .types import FRAME_SECONDS, Float32, Transcript

_TAIL_FRAMES = 50
_WINDOW_FRAMES = 1500
_MOST_TOKENS_PER_SECOND = 10
_MOST_TOKENS_ALWAYS = 20


class Drafter:
    """Frames to a draft of what was said."""

    def __init__(self, transcriber: WhisperTranscriber, encoder: OnnxEncoder) -> None:
        """Shares the transcriber's weights; `encoder` must be of the same model."""
        self._model, self._prompt, self._decode = transcriber.frame_decoder()
        self._tail = encoder.encode_silent_window()[-_TAIL_FRAMES:]

    def draft(self, frames: Float32) -> Transcript:
        """What was probably said in `frames` ([T, D]), with the mean probability of its tokens."""
        spoken = frames[: _WINDOW_FRAMES - _TAIL_FRAMES]
        window = np.ascontiguousarray(np.concatenate([spoken, self._tail])[None], np.float32)
        limit = _MOST_TOKENS_ALWAYS + int(_MOST_TOKENS_PER_SECOND * len(spoken) * FRAME_SECONDS)
        found = self._model.generate(
            ctranslate2.StorageView.from_array(window),
            [self._prompt],
            beam_size=1,
            max_length=len(self._prompt) + limit,
            suppress_blank=True,
            return_scores=True,
        )[0]
        return Transcript(self._decode(found.sequences_ids[0]).strip(), math.exp(min(0.0, found.scores[0])))
