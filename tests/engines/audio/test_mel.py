"""The log-mel spectrogram against faster-whisper's."""

from pathlib import Path

import numpy as np
import pytest
from faster_whisper.feature_extractor import FeatureExtractor

from engines.audio.mel import log_mel, mel_filters
from tests.support.audio_fixtures import noise, prompt, tone


@pytest.mark.parametrize("mel_bins", [80, 128])
def test_filters(mel_bins: int) -> None:
    np.testing.assert_allclose(
        mel_filters(mel_bins), FeatureExtractor(feature_size=mel_bins).mel_filters, atol=1e-7
    )


@pytest.mark.parametrize("length", [201, 400, 16_000, 16_123, 48_001])
@pytest.mark.parametrize("mel_bins", [80, 128])
def test_synthetic_sound(length: int, mel_bins: int) -> None:
    samples = (noise(3.1) + tone(3.1))[:length]
    mel = log_mel(samples, mel_bins)
    assert mel.shape == (mel_bins, length // 160)
    reference = FeatureExtractor(feature_size=mel_bins)(samples, padding=0)
    np.testing.assert_allclose(mel, reference[:, : length // 160], rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["vm-intro", "agent-alreadyon", "vm-goodbye"])
def test_real_speech(general_speech: Path, name: str) -> None:
    samples = prompt(general_speech, name)
    np.testing.assert_allclose(
        log_mel(samples),
        FeatureExtractor()(samples, padding=0)[:, : len(samples) // 160],
        rtol=0,
        atol=1e-5,
    )


def test_silence_is_flat() -> None:
    assert np.ptp(log_mel(np.zeros(16_000, np.float32))) == 0.0
