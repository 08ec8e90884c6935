"""Decodes a first-pass transcript from encoder frames alone: by Whisper's decoder, on frames that
end where the utterance ends. Knows no samples.

The decoder was trained on windows of 30 seconds, and invents text on shorter ones. What it misses
is the *end* of the window: with the last second of an empty window's frames appended to the
utterance's own, it decodes about as well as from the padded window, in a seventh of the time
(docs/experiments/003). Those frames are computed once, at the first transcript.
"""

from functools import cached_property

import numpy as np

from ..interfaces import Step, TextScorer, unwatched
from ..spans import span
from ..types import FRAME_SECONDS, Float32, TimedWord, Transcript
from .encoder import SpeechEncoder
from .phrases import PhraseBook
from .second_pass import read_again
from .window_decoder import TAIL_FRAMES, WindowDecoder

_WINDOW_FRAMES = 1500


class FirstPassDecoder:
    """Decodes frames into a first-pass transcript."""

    def __init__(
        self,
        windows: WindowDecoder,
        encoder: SpeechEncoder,
        silent_tail: Float32 | None = None,
    ) -> None:
        """`encoder` must be of the same model as `windows`. `silent_tail` ([50, D]) are the frames
        to append, those of `encoder` where none are given."""
        self._windows = windows
        self._encoder = encoder
        self._silent_tail = silent_tail

    def decode(self, frames: Float32) -> Transcript:
        """The first-pass transcript of `frames` ([T, D]), with the mean probability of its
        tokens."""
        with span("read"):
            return self._windows.decode(*self._window(frames))

    def decode_again(
        self,
        frames: Float32,
        first: Transcript,
        phrases: PhraseBook,
        score_texts: TextScorer | None = None,
        step: Step = unwatched,
    ) -> Transcript:
        """The best sentence for `frames`, which were read as `first` (`whisper/second_pass.py`)."""
        with span("rescore"):
            window, seconds = self._window(frames)
            return read_again(self._windows, window, seconds, first, phrases, score_texts, step)

    def timed(self, frames: Float32, text: str) -> list[TimedWord]:
        """The words of `text`, which was said in `frames`, with their times; none where they cannot
        be told apart."""
        window, _ = self._window(frames)
        return self._windows.timed(window, len(window) - TAIL_FRAMES, text)

    def _window(self, frames: Float32) -> tuple[Float32, float]:
        """The frames of a window, and the seconds of speech in it."""
        spoken = frames[: _WINDOW_FRAMES - TAIL_FRAMES]
        return np.concatenate([spoken, self._tail]), len(spoken) * FRAME_SECONDS

    @cached_property
    def _tail(self) -> Float32:
        if self._silent_tail is not None:
            return self._silent_tail
        return self._encoder.encode_silent_window()[-TAIL_FRAMES:]
