"""Voiceprints of real and synthetic speech."""

import numpy as np
import pytest

from calibration.bench.speakers import SECOND_VOICE
from calibration.corpus.demo_speakers import ATYPICAL_VOICE
from calibration.corpus.synthesis import Voice, speak
from engines.types import SAMPLE_RATE_HZ, Float32
from engines.voiceprint.model import PRINT_SIZE, VoiceprintModel
from engines.voiceprint.noise import NOISES, with_noise

TEXTS = ("Turn on the light in the kitchen, please.", "What is the weather like tomorrow morning?")
VOICES = (ATYPICAL_VOICE, SECOND_VOICE, Voice("flite", "slt"), Voice("flite", "rms"))


@pytest.fixture(scope="module")
def model() -> VoiceprintModel:
    return VoiceprintModel()


def known(found: Float32 | None) -> Float32:
    assert found is not None
    return found


def test_one_voice_is_nearer_to_itself_than_to_others(model: VoiceprintModel) -> None:
    prints = np.array([[known(model.of(speak(text, voice))) for text in TEXTS] for voice in VOICES])
    assert prints.shape == (len(VOICES), len(TEXTS), PRINT_SIZE)
    assert np.allclose(np.linalg.norm(prints, axis=2), 1, atol=1e-5)
    nearness = prints[:, 0] @ prints[:, 1].T
    assert (nearness.argmax(axis=1) == np.arange(len(VOICES))).all()


def test_loudness_and_silence_around_it_say_nothing_of_a_voice(model: VoiceprintModel) -> None:
    samples = speak(TEXTS[0], VOICES[0])
    silence = np.zeros(2 * SAMPLE_RATE_HZ, np.float32)
    first = known(model.of(samples))
    for same in (0.05 * samples, np.concatenate([silence, samples, silence])):
        assert float(first @ known(model.of(same.astype(np.float32)))) > 0.98


def test_nothing_is_told_from_too_little(model: VoiceprintModel) -> None:
    samples = speak(TEXTS[0], VOICES[0])
    for short in (samples[:0], samples[: SAMPLE_RATE_HZ // 2], np.zeros(48000, np.float32)):
        assert model.of(short) is None


def test_noise_is_ten_decibels_weaker_and_always_the_same() -> None:
    samples = speak(TEXTS[0], VOICES[0])
    for noise in NOISES[1:]:
        added = with_noise(samples, noise) - samples
        ratio_db = 10 * np.log10(np.mean(samples**2) / np.mean(added**2))
        assert abs(ratio_db - 10) < 0.1
        assert (with_noise(samples, noise) == with_noise(samples, noise)).all()
    assert with_noise(samples, "none") is samples
