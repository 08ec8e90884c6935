"""Cuts an utterance at its pauses into pieces that are decoded one by one, and leaves out what is
not speech.

Projectors learn from requests of a few seconds, and the cost of decoding grows faster than the
length. So a long utterance is decoded piece by piece: it is recognised as well as if its speaker
had made a turn of each piece, and each step of the work stays short. Knows samples and
probabilities of speech, no words.
"""

from dataclasses import dataclass, field
from functools import cached_property
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from ..types import SAMPLE_RATE_HZ, Float32
from .vad import CHUNK_SAMPLES, SileroVad

LONGEST_SECONDS = 10.0
"""The longest piece; shorter utterances are decoded whole."""
_SHORTEST_SECONDS = 3.0
"""The shortest piece where its speaker may have made a pause later, too: words are recognised
better beside others."""
_MARGIN_SECONDS = 0.5
"""The sound kept before and after the speech of a piece: soft consonants are below the
threshold."""
_SPEECH_PROBABILITY = 0.3
"""The probability from which a chunk may be speech."""
_SURE_PROBABILITY, _SURE_CHUNKS = 0.5, 3
"""The probability and the number of chunks that a piece needs to count as speech: 0.1 s is the
shortest word. Of twelve kinds of noise, tones and music one reached that probability at all, once
in 29 s; every voice that was tried reached 0.98."""

_CHUNK_SECONDS = CHUNK_SAMPLES / SAMPLE_RATE_HZ


@dataclass(frozen=True)
class PauseCutter:
    """Cuts utterances by the probability of speech, one at a time."""

    longest_seconds: float = LONGEST_SECONDS
    _alone: Lock = field(default_factory=Lock, repr=False, compare=False)
    """Held while the voice activity model, which has a state, hears an utterance."""

    @cached_property
    def _vad(self) -> SileroVad:
        return SileroVad()

    def cut(self, samples: Float32) -> list[Float32]:
        """The spoken pieces of `samples` ([N] at SAMPLE_RATE_HZ), in order: none where nobody
        speaks, and `samples` themselves where they are short and speech from end to end.

        Raises AttuneError where the voice activity model cannot be opened.
        """
        chunks = _chunks(samples)
        with self._alone:
            self._vad.reset()
            heard = self._vad.probabilities(chunks) if len(chunks) else []
        probabilities = np.array(heard, np.float64)
        loudness = np.sqrt((chunks**2).mean(axis=1))
        found = spoken_spans(probabilities, loudness, self.longest_seconds)
        return [samples[start * CHUNK_SAMPLES : end * CHUNK_SAMPLES] for start, end in found]


def spoken_spans(
    probabilities: NDArray[np.float64], loudness: Float32, longest_seconds: float = LONGEST_SECONDS
) -> list[tuple[int, int]]:
    """The first chunk of each piece and the one after its last.

    `probabilities` ([C], 0 to 1) say how likely each chunk of CHUNK_SAMPLES is speech, `loudness`
    ([C]) how loud it is. Pieces do not overlap, are at most `longest_seconds` long, and hold all
    speech. A cut is made in the longest pause that comes late enough, or at the quietest chunk
    where there is no pause. Silence longer than the margin is left out.
    """
    spoken = probabilities >= _SPEECH_PROBABILITY
    if not spoken.any():
        return []
    longest, shortest = _count(longest_seconds), _count(min(_SHORTEST_SECONDS, longest_seconds / 2))
    spans = []
    start, end = _tight(spoken, 0, len(spoken))
    while end - start > longest:
        cut = _cut(spoken, loudness, start + shortest, start + longest)
        spans.append(_tight(spoken, start, cut))
        start, _ = _tight(spoken, cut, end)
    sure = probabilities >= _SURE_PROBABILITY
    return [
        (first, last)
        for first, last in [*spans, (start, end)]
        if sure[first:last].sum() >= _SURE_CHUNKS
    ]


def _cut(spoken: NDArray[np.bool_], loudness: Float32, first: int, last: int) -> int:
    """The best chunk to cut before, from `first` to `last`: in the middle of the longest pause,
    else the quietest."""
    best, longest, run = 0, 0, 0
    for place in range(first, last):
        run = 0 if spoken[place] else run + 1
        if run >= max(longest, 1):  # of two as long ones the later, for pieces of about one length
            best, longest = place + 1 - run // 2, run
    if longest:
        return best
    around = np.convolve(loudness[first - 1 : last + 1], np.ones(3), "valid")
    return first + int(around.argmin())


def _tight(spoken: NDArray[np.bool_], start: int, end: int) -> tuple[int, int]:
    """The part from `start` to `end` that begins and ends with speech, with margins where there is
    room for them."""
    places = start + np.flatnonzero(spoken[start:end])
    if not len(places):
        return end, end
    margin = _count(_MARGIN_SECONDS)
    return max(start, int(places[0]) - margin), min(end, int(places[-1]) + 1 + margin)


def _count(seconds: float) -> int:
    return int(seconds / _CHUNK_SECONDS)


def _chunks(samples: Float32) -> Float32:
    """The samples as [C, CHUNK_SAMPLES], with silence at the end of the last chunk."""
    return np.pad(samples, (0, -len(samples) % CHUNK_SAMPLES)).reshape(-1, CHUNK_SAMPLES)
