"""What tests share. Models come from `attune models fetch`: a missing one fails its tests with the
line that says so."""

import gc
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from engines.files import one_at_a_time
from engines.jobs.messages import EngineFiles
from engines.models.cache import model_path
from tests.support.llama_conversations import WIDTH, Opened, Reference, one_prompt, opened
from tests.support.model_fakes import Hub
from tests.support.places import cache_dir
from tests.support.tiny_llama import write_tiny_llama

# How wide the terminal is that the tests are started in is not what is tested.
os.environ.pop("COLUMNS", None)
os.environ.pop("LINES", None)

# How long an example takes depends on what else the machine does.
settings.register_profile("any load", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any load")


def pytest_collection_finish() -> None:
    """Keep the garbage collector from looking through all imported modules again and again."""
    gc.freeze()


@pytest.fixture(scope="session")
def whisper_folder() -> Path:
    """CTranslate2 folder of Whisper tiny.en."""
    return model_path("whisper-tiny.en", cache_dir())


@pytest.fixture(scope="session")
def llm_path() -> Path:
    """GGUF file of SmolLM2-135M-Instruct."""
    return model_path("smollm2-135m-instruct-q4_1", cache_dir())


@pytest.fixture(scope="session")
def general_speech() -> Path:
    """Folder of recorded prompts (.g722) with their texts (core-sounds-en.txt)."""
    return model_path("general-speech", cache_dir())


@pytest.fixture(scope="session")
def encoder_path(whisper_folder: Path) -> Path:
    """encoder.onnx, exported once from Whisper tiny.en."""
    path = cache_dir() / "engines" / "whisper-tiny.en.encoder.onnx"
    if not path.is_file():
        # Torch takes seconds to import: only where it is needed.
        from calibration.export.encoder import export_encoder

        export_encoder(whisper_folder / "model.bin", path)
    return path


@pytest.fixture(scope="session")
def engine_files(encoder_path: Path, whisper_folder: Path, llm_path: Path) -> EngineFiles:
    """The files of the default models; the language model serves in its own weights."""
    return EngineFiles(
        encoder=encoder_path,
        encoder_weights=whisper_folder,
        language_model=llm_path,
        served_language_model=llm_path,
    )


@pytest.fixture(scope="session")
def untrained_generations(shared_folder: Path) -> Path:
    """The root of generations with an untrained base."""
    with one_at_a_time(shared_folder / "untrained.lock"):
        if not (shared_folder / "generations").is_dir():
            from tests.support.untrained_base import write_untrained_base

            write_untrained_base(shared_folder)
    return shared_folder / "generations"


@pytest.fixture(scope="session")
def first_pass_projector(shared_folder: Path) -> Path:
    """Folder with weights and graph of an untrained projector that reads first-pass transcripts."""
    folder = shared_folder / "first-pass"
    with one_at_a_time(shared_folder / "first-pass.lock"):
        if not (folder / "projector.onnx").is_file():
            from tests.support.untrained_base import write_first_pass_projector

            write_first_pass_projector(folder)
    return folder


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of all processes of this run: what takes long to make is made there once."""
    own = tmp_path_factory.getbasetemp()
    folder = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "shared"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="module")
def tiny_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """GGUF file of a random Llama of two layers."""
    return write_tiny_llama(tmp_path_factory.mktemp("tiny") / "tiny.gguf", width=WIDTH)


@pytest.fixture(scope="module")
def tiny_once(tiny_path: Path) -> Iterator[Opened]:
    """The tiny model, as the test before left it."""
    yield from opened(tiny_path)


@pytest.fixture
def tiny(tiny_once: Opened) -> Opened:
    """The tiny model, to which nothing was said yet."""
    tiny_once[0].reset()
    return tiny_once


@pytest.fixture(scope="module")
def real_once(llm_path: Path) -> Iterator[Opened]:
    """SmolLM2, as the test before left it."""
    yield from opened(llm_path, 512)


@pytest.fixture
def real(real_once: Opened) -> Opened:
    """SmolLM2, to which nothing was said yet."""
    real_once[0].reset()
    return real_once


@pytest.fixture(scope="module")
def reference(tiny_path: Path, tiny_once: Opened) -> Iterator[Reference]:
    """What the tiny model computes of a text that comes as one prompt."""
    yield from one_prompt(tiny_path, tiny_once[1])


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
