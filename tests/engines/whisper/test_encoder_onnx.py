"""The exported encoder against CTranslate2's, which has the same weights, and against the torch
module it was exported from."""

from pathlib import Path

import ctranslate2
import numpy as np
import pytest
import torch
from faster_whisper.feature_extractor import FeatureExtractor

from calibration.recogniser.whisper_model import TrimmedEncoder, load_encoder
from engines.audio.mel import log_mel
from engines.errors import AttuneError
from engines.types import SAMPLE_RATE_HZ
from engines.whisper.encoder import CLOSING_SILENCE_SECONDS, MAX_SECONDS
from engines.whisper.encoder_onnx import OnnxEncoder
from tests.support.audio_fixtures import noise, prompt

PROMPTS = ["vm-intro", "agent-alreadyon", "vm-goodbye"]


@pytest.fixture(scope="module")
def encoder(encoder_path: Path) -> OnnxEncoder:
    return OnnxEncoder(encoder_path, threads=2)


@pytest.fixture(scope="module")
def reference(whisper_folder: Path) -> ctranslate2.models.Whisper:
    return ctranslate2.models.Whisper(
        str(whisper_folder), device="cpu", compute_type="float32", intra_threads=2
    )


@pytest.fixture(scope="module")
def torch_encoder(whisper_folder: Path) -> TrimmedEncoder:
    return load_encoder(whisper_folder / "model.bin")


@pytest.mark.parametrize("name", PROMPTS)
def test_the_padded_window_as_ctranslate2(
    general_speech: Path, encoder: OnnxEncoder, reference: ctranslate2.models.Whisper, name: str
) -> None:
    samples = prompt(general_speech, name)
    window = np.pad(samples, (0, 30 * SAMPLE_RATE_HZ - len(samples)))
    mel = np.ascontiguousarray(FeatureExtractor()(window, padding=0)[None], np.float32)
    theirs = np.array(reference.encode(ctranslate2.StorageView.from_array(mel)))[0]
    ours = encoder.encode(window[: int(MAX_SECONDS * SAMPLE_RATE_HZ)])
    assert ours.shape == (1500, encoder.frame_width) == theirs.shape
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-3)


@pytest.mark.parametrize("name", PROMPTS)
def test_trimmed_audio_as_torch(
    general_speech: Path, encoder: OnnxEncoder, torch_encoder: TrimmedEncoder, name: str
) -> None:
    samples = prompt(general_speech, name)
    padded = np.pad(samples, (0, int(CLOSING_SILENCE_SECONDS * SAMPLE_RATE_HZ)))
    mel = log_mel(padded[: len(padded) // 320 * 320])
    with torch.inference_mode():
        theirs = torch_encoder(torch.from_numpy(mel)[None])[0].numpy()
    ours = encoder.encode(samples)
    assert ours.dtype == np.float32
    assert len(ours) == (len(samples) + CLOSING_SILENCE_SECONDS * SAMPLE_RATE_HZ) // 320
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-3)


@pytest.mark.parametrize("seconds", [0.05, 0.5, 1.013, 7.77])
def test_any_length(encoder: OnnxEncoder, seconds: float) -> None:
    frames = encoder.encode(noise(seconds))
    assert len(frames) == int(
        (round(seconds * SAMPLE_RATE_HZ) + CLOSING_SILENCE_SECONDS * SAMPLE_RATE_HZ) // 320
    )
    assert np.isfinite(frames).all()


def test_too_long(encoder: OnnxEncoder) -> None:
    with pytest.raises(AttuneError, match="is over the encoder's 29.5 s"):
        encoder.encode(noise(29.6))


def test_a_missing_or_damaged_file(tmp_path: Path) -> None:
    with pytest.raises(AttuneError, match="is missing; run"):
        OnnxEncoder(tmp_path / "absent.onnx", 1)
    (tmp_path / "text.onnx").write_text("not a model")
    with pytest.raises(AttuneError, match="cannot be loaded .*; run"):
        OnnxEncoder(tmp_path / "text.onnx", 1)


def test_it_may_be_opened_by_its_first_use(encoder_path: Path, tmp_path: Path) -> None:
    later = OnnxEncoder(tmp_path / "encoder.onnx", 1, later=True)
    with pytest.raises(AttuneError, match="missing"):
        later.ready()
    (tmp_path / "encoder.onnx").symlink_to(encoder_path)
    assert later.encode(np.zeros(16000, np.float32)).shape[1] == later.frame_width
