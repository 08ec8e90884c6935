"""The voiceprint of a recording: 256 numbers (a speaker embedding), near to those of other
recordings of the same person.

The model is Resemblyzer's voice encoder (Apache-2.0; generalized end-to-end loss, Wan et al. 2018,
arXiv 1710.10467), whose weights `calibration/export/voiceprint.py` put into a graph.
"""

from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..audio.mel import HOP_SAMPLES, WINDOW_SAMPLES, mel_filters
from ..onnx_session import open_session
from ..types import SAMPLE_RATE_HZ, Float32

GRAPH = Path(__file__).parent.parent / "base" / "voiceprint.onnx"
PRINT_SIZE, MEL_BINS = 256, 40
WINDOW_FRAMES = 160
"""1.6 s, which the model was trained on."""
LEAST_SECONDS = 1.0
"""What is shorter says too little of who spoke."""
_STEP_FRAMES = 80
_MOST_WINDOWS = 12
"""What is said in ten seconds tells as much as what is said in a minute."""
_LOUDNESS = 10 ** (-30 / 20)
"""The root mean square that the model expects (-30 dB of full scale)."""
_QUIET = 0.05
"""A frame whose root mean square is below this share of the loud ones is silence."""
_GAP_FRAMES = 20
_HALF = 0.5
_LOUD_FRAMES = 20
"""So many are louder than what counts as loud: 0.2 s, longer than a knock."""


class VoiceprintModel:
    """The model, opened when it is first used."""

    def __init__(self, threads: int = 1, graph: Path = GRAPH) -> None:
        self._threads, self._graph = threads, graph

    @cached_property
    def _session(self):  # type: ignore[no-untyped-def]
        return open_session(self._graph, self._threads, "reinstall Attune")

    def of(self, samples: Float32) -> Float32 | None:
        """The voiceprint [PRINT_SIZE] of [N] samples at SAMPLE_RATE_HZ, of length 1; None if
        there are less than LEAST_SECONDS of speech in them."""
        windows = _windows(samples)
        if windows is None:
            return None
        each: Float32 = self._session.run(["print"], {"mel": windows})[0]
        mean = each.mean(axis=0)
        return np.asarray(mean / max(float(np.linalg.norm(mean)), 1e-9), np.float32)


def _windows(samples: Float32) -> Float32 | None:
    """[n, WINDOW_FRAMES, MEL_BINS] mel spectra, of power, of the parts in which somebody speaks."""
    spoken = _spoken(samples)
    if len(spoken) < LEAST_SECONDS * SAMPLE_RATE_HZ:
        return None
    loud = float(np.sqrt(np.mean(spoken**2)))
    spoken = spoken * (_LOUDNESS / max(loud, 1e-9))
    short = WINDOW_FRAMES * HOP_SAMPLES - len(spoken)
    if short > 0:  # said again, rather than followed by silence, which the model never met
        spoken = np.tile(spoken, 2 + short // len(spoken))[: WINDOW_FRAMES * HOP_SAMPLES]
    mel = _mel(spoken)
    starts = np.arange(0, max(1, len(mel) - WINDOW_FRAMES + 1), _STEP_FRAMES)
    if len(starts) > _MOST_WINDOWS:
        starts = starts[np.linspace(0, len(starts) - 1, _MOST_WINDOWS).round().astype(int)]
    return np.stack([mel[start : start + WINDOW_FRAMES] for start in starts])


def _mel(samples: Float32) -> Float32:
    """[T, MEL_BINS] power in mel bins, T at least WINDOW_FRAMES (as librosa's melspectrogram)."""
    padded = np.pad(samples, WINDOW_SAMPLES // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW_SAMPLES)[::HOP_SAMPLES]
    window = np.hanning(WINDOW_SAMPLES + 1)[:-1].astype(np.float32)
    spectrum = np.fft.rfft(frames * window, axis=1)
    power = (spectrum.real**2 + spectrum.imag**2).astype(np.float32)
    return np.asarray(power @ mel_filters(MEL_BINS).T, np.float32)


def _spoken(samples: Float32) -> Float32:
    """The samples without frames of silence, but for short ones between others."""
    count = len(samples) // HOP_SAMPLES
    if not count:
        return samples[:0]
    frames = samples[: count * HOP_SAMPLES].reshape(count, HOP_SAMPLES)
    levels = np.sqrt(np.mean(frames**2, axis=1))
    loudest = float(np.sort(levels)[-_LOUD_FRAMES:].min())
    loud = (levels > _QUIET * loudest) & (levels > 0)
    return np.asarray(frames[_closed(loud)].reshape(-1), np.float32)


def _closed(loud: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """`loud` [n] with gaps of up to _GAP_FRAMES filled."""
    width = np.ones(_GAP_FRAMES + 1)
    wide = np.convolve(np.pad(loud, _GAP_FRAMES), width, "full") > _HALF
    narrow = np.convolve(~wide, width, "full") < _HALF
    return np.asarray(narrow[2 * _GAP_FRAMES : 2 * _GAP_FRAMES + len(loud)])
