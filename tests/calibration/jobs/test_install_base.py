"""What set-up writes as generation 0."""

from pathlib import Path

import pytest

from calibration.jobs.install_base import make_base
from engines.files import sha256_of
from engines.generations.folder import read_generation
from engines.jobs.calibration_jobs import BaseJob
from engines.jobs.messages import EngineFiles
from engines.whisper.recogniser_weights import read_recogniser


@pytest.mark.slow
def test_the_base_hears_and_projects(
    tmp_path: Path,
    encoder_path: Path,
    whisper_folder: Path,
    llm_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))  # no voice speaks the replay set
    told: list[str] = []
    engines = EngineFiles(
        encoder=encoder_path,
        encoder_weights=whisper_folder,
        language_model=llm_path,
        served_language_model=llm_path,
    )
    job = BaseJob(
        folder=tmp_path / "job",
        generations=tmp_path / "generations",
        engines=engines,
        features=tmp_path / "features",
    )
    assert make_base(job, lambda _stage, _fraction, note: told.append(note)) == 0
    base = read_generation(tmp_path / "generations" / "0000")
    assert base.recogniser is not None
    assert read_recogniser(base.recogniser).whisper_sha256 == base.card.encoder_sha256
    assert base.card.encoder_sha256 == sha256_of(whisper_folder / "model.bin")
    assert "espeak-ng is not installed" in told[-1]

    other = tmp_path / "another-whisper"
    other.mkdir()
    (other / "model.bin").write_bytes(b"another model")
    elsewhere = job.model_copy(
        update={
            "generations": tmp_path / "others",
            "engines": engines.model_copy(update={"encoder_weights": other}),
        }
    )
    make_base(elsewhere, lambda *_: None)
    assert read_generation(tmp_path / "others" / "0000").recogniser is None
