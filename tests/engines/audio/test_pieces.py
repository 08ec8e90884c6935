"""Cutting utterances at their pauses: every word is in one piece, no piece is long, and silence is
no piece."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.audio.pieces import PauseCutter, spoken_spans
from engines.audio.recordings import read_audio
from engines.audio.vad import CHUNK_SAMPLES, SileroVad
from engines.models.general_speech import read_prompts
from engines.types import SAMPLE_RATE_HZ, Float32
from tests.support.audio_fixtures import flite, noise, tone

SECOND = SAMPLE_RATE_HZ / CHUNK_SAMPLES
QUIET, LOUD = 0.02, 0.95


@settings(max_examples=200)
@given(
    st.lists(st.tuples(st.booleans(), st.integers(1, 400)), max_size=8),
    st.floats(1.0, 12.0),
    st.integers(0, 99),
)
def test_pieces_hold_every_word_once_and_are_short(
    runs: list[tuple[bool, int]], longest_seconds: float, seed: int
) -> None:
    spoken = np.concatenate(
        [np.zeros(0, bool), *(np.full(count, speaks) for speaks, count in runs)]
    )
    loudness = np.random.default_rng(seed).random(len(spoken)).astype(np.float32)
    found = spoken_spans(np.where(spoken, LOUD, QUIET), loudness, longest_seconds)
    assert all(0 < end - start <= longest_seconds * SECOND for start, end in found)
    assert all(end <= start for (_, end), (start, _) in pairwise(found))
    held = np.zeros(len(spoken), bool)
    for start, end in found:
        held[start:end] = True
        assert spoken[start:end].sum() >= 3
    missed = np.flatnonzero(np.diff(np.concatenate([[False], spoken & ~held, [False]])))
    # A click, not a word.
    assert all(after - before < 3 for before, after in zip(missed[::2], missed[1::2], strict=True))


def test_a_cut_is_made_in_the_longest_pause() -> None:
    probabilities = np.full(round(15 * SECOND), LOUD)
    short, long = round(5 * SECOND), round(7 * SECOND)
    probabilities[short : short + 4] = QUIET
    probabilities[long : long + 12] = QUIET
    [(_, end), (start, _)] = spoken_spans(probabilities, np.ones(len(probabilities), np.float32))
    assert long < end <= start < long + 12


def test_without_a_pause_the_cut_is_made_where_it_is_quietest() -> None:
    probabilities = np.full(round(15 * SECOND), LOUD)
    loudness = np.ones(len(probabilities), np.float32)
    quiet = round(6 * SECOND)
    loudness[quiet - 1 : quiet + 2] = 0.1
    assert next(end for _, end in spoken_spans(probabilities, loudness)) == quiet


@pytest.mark.parametrize(
    "samples",
    [
        np.zeros(0, np.float32),
        np.full(1, 0.5, np.float32),
        np.zeros(SAMPLE_RATE_HZ, np.float32),
        noise(4.0, 0.1),
        np.clip(noise(29.0, 0.5), -1, 1),
        tone(5.0, 1000.0),
        tone(5.0, 50.0),
    ],
)
def test_nobody_speaks_in_noise_tones_and_silence(samples: Float32) -> None:
    assert PauseCutter().cut(samples) == []


def test_a_short_question_is_read_as_it_is_and_found_in_long_silence() -> None:
    said = flite("What is the weather in London today?")
    [whole] = PauseCutter().cut(said)
    assert np.array_equal(whole, said)
    [found] = PauseCutter().cut(np.concatenate([noise(20.0, 0.0005), said, noise(6.0, 0.0005)]))
    assert len(said) <= len(found) <= len(said) + 1.2 * SAMPLE_RATE_HZ


class Watched(SileroVad):
    """A detector that notices another thread between its reset and its probabilities."""

    def reset(self) -> None:
        super().reset()
        self.used_by = threading.get_ident()
        time.sleep(0.01)  # another thread's turn, if nothing holds it back

    def probabilities(self, chunks: Float32) -> list[float]:
        assert self.used_by == threading.get_ident(), "another thread reset it meanwhile"
        return super().probabilities(chunks)


def test_several_threads_cut_one_after_the_other(
    general_speech: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A turn and the labeller hear under different locks, and the detector remembers its stream."""
    monkeypatch.setattr("engines.audio.pieces.SileroVad", Watched)
    cutter = PauseCutter()
    said = [read_audio(one.audio) for one in read_prompts(general_speech)[:6]]
    alone = [[len(piece) for piece in cutter.cut(samples)] for samples in said]
    with ThreadPoolExecutor(6) as threads:
        found = threads.map(cutter.cut, said)
        assert [[len(piece) for piece in pieces] for pieces in found] == alone
