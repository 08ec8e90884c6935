"""The silence that ends a turn follows a person's pauses."""

import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.attention import Attention
from daemon.conversation.end_of_turn import (
    LEAST_SECONDS,
    MOST_SECONDS,
    USUAL_SECONDS,
    early_seconds,
    end_silence_seconds,
)
from daemon.conversation.turn_pace import TurnPace
from daemon.listening.pauses import longest_pause_seconds
from daemon.store.store import Store
from engines.audio.vad import SileroVad
from engines.types import SAMPLE_RATE_HZ, Float32
from tests.support.audio_fixtures import espeak


def test_nobody_known_ends_a_turn_as_a_usual_speaker() -> None:
    assert end_silence_seconds([]) == pytest.approx(USUAL_SECONDS)


def test_a_quick_speaker_waits_less() -> None:
    generator = random.Random(0)
    pauses = [generator.uniform(0.0, 0.2) for _ in range(80)]
    assert end_silence_seconds(pauses) == LEAST_SECONDS
    assert end_silence_seconds(pauses[:10]) <= USUAL_SECONDS


@pytest.mark.parametrize("seed", range(20))
def test_of_a_hundred_sentences_with_long_pauses_few_are_cut(seed: int) -> None:
    """Five minutes of a speaker who pauses for up to 1.5 s, then a hundred new sentences."""
    generator = random.Random(seed)

    def sentence() -> float:
        return max((generator.uniform(0.2, 1.5) for _ in range(generator.randint(0, 3))), default=0)

    silence = end_silence_seconds([sentence() for _ in range(60)])
    assert sum(sentence() > silence for _ in range(100)) <= 2
    assert silence < 2.0


@given(st.lists(st.floats(0, 10), max_size=300))
def test_the_silence_stays_within_bounds(pauses: list[float]) -> None:
    silence = end_silence_seconds(pauses)
    assert LEAST_SECONDS <= silence <= MOST_SECONDS
    assert 0.0 < early_seconds(silence) < silence


@given(st.lists(st.floats(0, 3), min_size=1, max_size=100))
def test_longer_pauses_never_shorten_the_silence(pauses: list[float]) -> None:
    longer = [pause + 0.3 for pause in pauses]
    assert end_silence_seconds(longer) >= end_silence_seconds(pauses)


def spoken_with_pause(seconds: float) -> Float32:
    silence = np.zeros(round(seconds * SAMPLE_RATE_HZ), np.float32)
    return np.concatenate(
        [silence, espeak("Turn on the light"), silence, espeak("in the kitchen please"), silence]
    )


def test_the_pause_within_a_recording_is_measured() -> None:
    vad = SileroVad()
    short, long = (longest_pause_seconds(spoken_with_pause(s), vad) for s in (0.3, 1.3))
    assert long - short == pytest.approx(1.0, abs=0.15)
    assert 0.2 < short < 0.8
    assert longest_pause_seconds(np.zeros(SAMPLE_RATE_HZ, np.float32), vad) == 0.0
    assert longest_pause_seconds(np.zeros(0, np.float32), vad) == 0.0


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def test_what_was_enrolled_is_measured_and_sets_the_silence(store: Store) -> None:
    for number in range(3):
        recording = spoken_with_pause(1.2) + np.float32(number * 1e-4)
        store.add_utterance(recording, "enrolled")
    store.add_utterance(spoken_with_pause(2.0), "file")  # anybody's
    applied: list[tuple[float, float]] = []
    pace = TurnPace(
        store, Attention(), "auto", True, lambda end, early: applied.append((end, early))
    )
    pace.start()
    assert applied[0] == pytest.approx((USUAL_SECONDS, 0.24))
    assert "until your pauses are known" in pace.why
    pace._study()
    pace.stop()
    assert len(store.longest_pauses(9)) == 3
    assert store.without_pause(9, 9) == []
    assert applied[-1][0] > 1.2
    assert "learnt from the pauses in 3 of your sentences" in pace.why
    store.close()


def test_a_silence_that_is_set_is_kept(store: Store) -> None:
    store.add_utterance(spoken_with_pause(1.2), "enrolled", longest_pause_seconds=1.2)
    applied: list[tuple[float, float]] = []
    pace = TurnPace(store, Attention(), 0.9, False, lambda end, early: applied.append((end, early)))
    pace.start()
    pace.stop()
    assert applied == [(0.9, float("inf"))]
    assert "as segmenter.end_silence_seconds says" in pace.why
    store.close()


def test_a_recording_that_is_gone_holds_nothing_up(store: Store) -> None:
    kept = store.add_utterance(spoken_with_pause(0.5), "enrolled")
    kept.audio.unlink()
    pace = TurnPace(store, Attention(), "auto", True, lambda end, early: None)
    pace._study()
    assert store.without_pause(9, 9) == []
    store.close()
