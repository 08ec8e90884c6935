"""A round whose utterances are all too long for the recogniser leaves it out, and says so."""

from pathlib import Path

import pytest
import soundfile

from calibration.round.choose import choose_recogniser
from calibration.round.folder import RoundFolder
from calibration.round.recognise import train_recogniser
from engines.jobs.footprints import LONGEST_LEARNT_SECONDS
from engines.jobs.messages import AdaptJob, EngineFiles, Example, RecogniserRecipe
from engines.types import SAMPLE_RATE_HZ
from tests.support.audio_fixtures import noise


@pytest.fixture
def job(
    tmp_path: Path,
    untrained_generations: Path,
    engine_files: EngineFiles,
) -> AdaptJob:
    audio = tmp_path / "long.wav"
    soundfile.write(audio, noise(LONGEST_LEARNT_SECONDS + 1.0, 0.1), SAMPLE_RATE_HZ)
    return AdaptJob(
        folder=tmp_path,
        generations=untrained_generations,
        number=1,
        parent=0,
        engines=engine_files,
        features=tmp_path / "features",
        examples=[Example(id="long", audio=audio, text="A long one.", origin="enrolled")],
        system_prompt="",
        recogniser=RecogniserRecipe(seconds=1.0),
        threads=2,
    )


def test_nothing_short_enough_leaves_it_out(job: AdaptJob) -> None:
    told: list[str] = []

    def report(stage: str, fraction: float, note: str) -> None:
        told.append(f"{stage}: {note}")

    assert train_recogniser(job, report).steps == 0
    choose_recogniser(job, report)
    folder = RoundFolder(job.folder)
    assert not folder.recogniser.exists()
    assert folder.chosen.share is None
    assert folder.chosen.left_out == "there was nothing that it could learn from"
    assert f"recognise: no utterance is at most {LONGEST_LEARNT_SECONDS:g} s long" in told
