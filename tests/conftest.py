"""What tests share. Models come from `attune models fetch`: a missing one fails its tests with the line that says so."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from engines.models import default_cache_dir, model_path
from tests.model_fakes import Hub


@pytest.fixture(scope="session")
def whisper_folder() -> Path:
    """CTranslate2 folder of Whisper tiny.en."""
    return model_path("whisper-tiny.en")


@pytest.fixture(scope="session")
def llm_path() -> Path:
    """GGUF file of SmolLM2-135M-Instruct."""
    return model_path("smollm2-135m-instruct-q4_1")


@pytest.fixture(scope="session")
def general_speech() -> Path:
    """Folder of recorded prompts (.g722) with their texts (core-sounds-en.txt)."""
    return model_path("general-speech")


@pytest.fixture(scope="session")
def encoder_path(whisper_folder: Path) -> Path:
    """encoder.onnx, exported once from Whisper tiny.en."""
    path = default_cache_dir() / "engines" / "whisper-tiny.en.encoder.onnx"
    if not path.is_file():
        from calibration.encoder_export import export_encoder  # torch takes seconds to import: only where it is needed

        export_encoder(whisper_folder / "model.bin", path)
    return path


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub of models on this machine, which `hf:` sources ask."""
    with Hub() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        monkeypatch.setenv("HF_ENDPOINT", server.endpoint)
        yield server
        server.release.set()
        server.shutdown()
        thread.join()
