"""Streamed voice activity against faster-whisper's, which sees a whole recording at once."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from faster_whisper.vad import get_vad_model

from engines.audio.vad import CHUNK_SAMPLES, SileroVad
from engines.types import Float32
from tests.support.audio_fixtures import noise, prompt


def streamed(vad: SileroVad, samples: Float32, at_once: int = 1) -> list[float]:
    buffer = np.empty((at_once, CHUNK_SAMPLES), np.float32)  # reused, as an audio driver does
    probabilities = []
    chunks = samples[: len(samples) // CHUNK_SAMPLES * CHUNK_SAMPLES].reshape(-1, CHUNK_SAMPLES)
    for start in range(0, len(chunks), at_once):
        some = chunks[start : start + at_once]
        buffer[: len(some)] = some
        probabilities += vad.probabilities(buffer[: len(some)])
    return probabilities


@pytest.fixture(scope="module")
def stream(general_speech: Path) -> Float32:
    """Two prompts with noise between and after; a whole number of chunks."""
    parts = [
        prompt(general_speech, "vm-intro"),
        noise(1.0, 0.01),
        prompt(general_speech, "agent-alreadyon"),
        noise(0.5, 0.01),
    ]
    samples = np.concatenate(parts)
    return samples[: len(samples) // CHUNK_SAMPLES * CHUNK_SAMPLES]


@pytest.mark.parametrize("at_once", [1, 4])
def test_equals_the_batch(stream: Float32, at_once: int) -> None:
    # The batch silences the last 64 samples that it is given: so it gets one chunk more, which is
    # not compared.
    batch = get_vad_model()(np.pad(stream, (0, CHUNK_SAMPLES)))[:-1]
    np.testing.assert_allclose(streamed(SileroVad(), stream, at_once), batch, rtol=0, atol=1e-4)
    assert batch.max() > 0.9
    assert batch.min() < 0.1


def test_reset_forgets(stream: Float32) -> None:
    vad = SileroVad()
    first = streamed(vad, stream)
    assert streamed(vad, stream) != first, "the state is carried on"
    vad.reset()
    assert streamed(vad, stream) == first


def test_no_speech_in_silence_and_noise() -> None:
    for samples in (np.zeros(32_000, np.float32), noise(2.0, 0.05)):
        assert max(streamed(SileroVad(), samples)) < 0.35


@pytest.mark.parametrize("shape", [(1, 256), (512,), (0, 512)])
def test_only_whole_chunks(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"\(1 or more, 512\)"):
        SileroVad().probabilities(np.zeros(shape, np.float32))


def test_finding_the_model_loads_no_other_runtime() -> None:
    script = "import sys; from engines.audio.vad import SileroVad; SileroVad(); print(*sys.modules)"
    finished = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=120
    )
    assert not {"torch", "ctranslate2", "faster_whisper"} & set(finished.stdout.split())
