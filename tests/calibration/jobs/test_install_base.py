"""What set-up writes as generation 0."""

from dataclasses import replace
from pathlib import Path

import pytest

from calibration.evaluation.judge import Judge
from calibration.jobs.install_base import make_base
from engines.files import sha256_of
from engines.generations.folder import Generation, read_generation
from engines.jobs.calibration_jobs import BaseJob
from engines.jobs.messages import EngineFiles, Example
from engines.models.general_speech import read_prompts, retention_set
from engines.whisper.recogniser_weights import read_recogniser


def weighed_anew(
    base: Generation, engines: EngineFiles, features: Path, general_speech: Path
) -> int:
    """Of twelve prompts, those that are read alike where the route decodes them, and where what was
    decoded without a confidence is only weighed by it."""
    judge = Judge(engines, features, "Answer briefly.", threads=2, reply_tokens=1)
    serves = judge.serving_decoder(base)
    unsure = replace(serves, confidence=None)
    decode, same = judge.aligned(serves, base.recogniser), 0
    for prompt in retention_set(read_prompts(general_speech))[:12]:
        example = Example(id=prompt.name, audio=prompt.audio, text=prompt.text, origin="enrolled")
        found = judge.decoded(unsure, base.recogniser, example, own=False)
        assert found is not None
        weigh = judge.aligned(serves, base.recogniser, {example.id: found})
        ours, theirs = weigh(example), decode(example)
        assert not isinstance(ours, str)
        assert not isinstance(theirs, str)
        same += (ours.tokens, ours.sure) == (theirs.tokens, theirs.sure)
    judge.close_language_model()
    return same


@pytest.mark.slow
def test_the_base_hears_and_projects(
    tmp_path: Path,
    encoder_path: Path,
    whisper_folder: Path,
    llm_path: Path,
    general_speech: Path,
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
    assert weighed_anew(base, engines, tmp_path / "features", general_speech) >= 11

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
    nothing = read_generation(tmp_path / "others" / "0000")
    assert (nothing.recogniser, nothing.projector) == (None, None)
