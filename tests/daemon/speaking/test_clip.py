"""What a voice said, as it is played: without silence around it, at one loudness, with a pause."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.speaking.clip import clip
from engines.types import Float32

RATE_HZ = 1000


def said(level: float, lead_seconds: float = 0.4, tail_seconds: float = 0.5) -> Float32:
    tone = level * np.sin(2 * np.pi * 100 * np.arange(RATE_HZ) / RATE_HZ)
    around = [np.zeros(round(seconds * RATE_HZ)) for seconds in (lead_seconds, tail_seconds)]
    return np.concatenate([around[0], tone, around[1]]).astype(np.float32)


def test_the_silence_before_speech_goes() -> None:
    played = clip(said(0.3), RATE_HZ, "Hello.")
    assert np.flatnonzero(np.abs(played) > 0.01)[0] <= 0.03 * RATE_HZ


def test_a_sentence_is_followed_by_a_longer_pause_than_a_clause() -> None:
    sentence, clause = clip(said(0.3), RATE_HZ, "Hello."), clip(said(0.3), RATE_HZ, "Hello,")
    assert len(sentence) - len(clause) == pytest.approx(0.18 * RATE_HZ, abs=2)
    quoted = clip(said(0.3), RATE_HZ, 'He said "no."')
    assert len(quoted) == len(sentence)


@given(st.floats(0.03, 1.0))
def test_quiet_and_loud_voices_sound_equally_loud(level: float) -> None:
    played = clip(said(level), RATE_HZ, "a")
    speech = played[np.abs(played) > 0]
    assert float(np.abs(played).max()) <= 0.951
    assert float(np.sqrt(np.mean(speech**2))) == pytest.approx(0.1, rel=0.25)


def test_silence_is_nothing() -> None:
    assert len(clip(np.zeros(500, np.float32), RATE_HZ, "a")) == 0
    assert len(clip(np.zeros(0, np.float32), RATE_HZ, "a")) == 0
