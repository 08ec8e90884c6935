"""What speech models take to hear, measured on real models and real speech."""

from pathlib import Path

import pytest

from calibration.jobs.measure_hearing import measure_hearing
from engines.errors import AttuneError
from engines.jobs.calibration_jobs import HearingJob
from engines.jobs.messages import EngineFiles, Example
from engines.jobs.speech_models import SpeechModel, SpeechModelsMeasured
from engines.models.general_speech import read_prompts, retention_set

MIB = 2**20


@pytest.fixture
def job(tmp_path: Path, encoder_path: Path, whisper_folder: Path, llm_path: Path) -> HearingJob:
    files = EngineFiles(
        encoder=encoder_path,
        encoder_weights=whisper_folder,
        language_model=llm_path,
        served_language_model=llm_path,
    )
    return HearingJob(
        output=tmp_path / "figures.json",
        engines=files,
        models=[SpeechModel(name="whisper-tiny.en", whisper=whisper_folder)],
        general=[],
        own=[],
    )


@pytest.mark.slow
def test_errors_are_told_apart_by_whose_recordings_they_are(
    job: HearingJob, general_speech: Path
) -> None:
    prompts = retention_set(read_prompts(general_speech))[:5]
    right = [Example(id=p.name, audio=p.audio, text=p.text, origin="enrolled") for p in prompts[:3]]
    wrong = [
        Example(id=p.name, audio=p.audio, text="banana " * 4, origin="enrolled")
        for p in prompts[3:]
    ]
    told: list[str] = []
    asked = job.model_copy(update={"general": right, "own": wrong})
    assert measure_hearing(asked, lambda stage, fraction, note: told.append(stage)) == 1
    (found,) = SpeechModelsMeasured.model_validate_json(job.output.read_bytes()).models
    assert told == ["whisper-tiny.en"]
    assert found.general is not None
    assert found.general.utterances == 3
    assert found.general.word_error_rate < 0.3
    assert found.own is not None
    assert (found.own.utterances, found.own.words) == (2, 8)
    assert found.own.word_error_rate >= 1.0
    assert found.seconds > 0
    assert 100 * MIB < found.size_bytes < 2000 * MIB


def test_without_recordings_nothing_is_measured(job: HearingJob) -> None:
    with pytest.raises(AttuneError, match="run `attune models fetch`"):
        measure_hearing(job, lambda stage, fraction, note: None)
    assert not job.output.exists()
