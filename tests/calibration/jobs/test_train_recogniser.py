"""Training a base recogniser on a corpus: it comes out with its card, and goes on where it was
stopped."""

import json
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from calibration.corpus.build import NeuralVoices, build
from calibration.corpus.script import ScriptLine
from calibration.corpus.shards import write_shard
from calibration.corpus.synthesis import Voice
from calibration.corpus.texts import is_held_out
from calibration.corpus.training_requests import requests
from calibration.corpus.voices import random_voice
from calibration.jobs.train_recogniser import train_base_recogniser
from calibration.recogniser.start import SHIPPED
from engines.errors import AttuneError
from engines.jobs.calibration_jobs import CorpusJob, TrainRecogniserJob
from engines.jobs.messages import EngineFiles
from engines.whisper.recogniser_weights import read_recogniser, write_recogniser


def silent(*_: object) -> None:
    """No progress."""


@pytest.fixture
def job(
    tmp_path: Path, encoder_path: Path, whisper_folder: Path, llm_path: Path
) -> TrainRecogniserJob:
    (tmp_path / "out").mkdir()
    return TrainRecogniserJob(
        folder=tmp_path / "out",
        engines=EngineFiles(
            encoder=encoder_path,
            encoder_weights=whisper_folder,
            language_model=llm_path,
            served_language_model=llm_path,
        ),
        corpora=[tmp_path / "corpus"],
        minutes=0.05,
        batch=2,
        rank=4,
        threads=2,
        atypical_times=2,
    )


@pytest.mark.slow
def test_a_recogniser_with_a_card_comes_out_and_goes_on_where_it_was_stopped(
    job: TrainRecogniserJob,
) -> None:
    rng = random.Random(0)
    atypical, clear = random_voice(rng, {"atypical": 1.0}), Voice("flite", "slt", 150)
    drawn = sorted(set(requests(2000, rng)), key=is_held_out)
    script = [
        ScriptLine(text, atypical if number % 2 else clear, number)
        for number, text in enumerate([*drawn[:32], *drawn[-8:]])
    ]
    [corpus] = job.corpora
    build(corpus, script, NeuralVoices(), 80, 1, silent)
    made = CorpusJob(
        folder=corpus, engines=job.engines, hours=0.1, written=0, covers_vocabulary=False
    )
    (corpus / "job.json").write_text(made.model_dump_json())
    steps = train_base_recogniser(job, silent)
    weights = read_recogniser(job.folder / "recogniser.safetensors")
    assert {len(change.down) for change in weights.changes.values()} == {4}
    assert all(np.abs(change.up).max() > 0 for change in weights.changes.values())
    card = json.loads((job.folder / "recogniser.json").read_text())
    assert card["steps"] == steps > 0
    assert card["command"].startswith(
        "attune align corpus --out corpus --hours 0.1 --written 0 --no-coverage --seed 0 &&"
        " attune align recogniser corpus --out out --minutes 0.05"
    )
    judged, learnt = card["unheard_sentences"], card["voices"]
    assert learnt == {"espeak-ng atypical": 16, "flite": 16}
    assert [judged[name]["utterances"] for name in ("atypical", "others")] == [4, 4]
    assert judged["others"]["word_error_rate_of_whisper"] < 0.3

    assert train_base_recogniser(job.model_copy(update={"minutes": 0.1}), silent) > steps

    start = job.folder / "recogniser.safetensors"
    (job.folder.parent / "other").mkdir()
    other = job.model_copy(
        update={"folder": job.folder.parent / "other", "start": start, "rank": 8}
    )
    train_base_recogniser(other, silent)
    gone_on = read_recogniser(other.folder / "recogniser.safetensors")
    assert {len(change.down) for change in gone_on.changes.values()} == {4}, "in its own rank"


@pytest.mark.slow
def test_what_cannot_be_trained_is_one_clear_line(job: TrainRecogniserJob, tmp_path: Path) -> None:
    [corpus] = job.corpora
    with pytest.raises(AttuneError, match="no corpus in"):
        train_base_recogniser(job, silent)
    corpus.mkdir()
    about = {"text": "Hello there.", "voice": "v", "seconds": 1.0}
    write_shard(corpus, 0, [(np.zeros((80, 120), np.float32), about)])
    with pytest.raises(AttuneError, match="1 utterances are too few"):
        train_base_recogniser(job, silent)
    drawn = sorted(set(requests(2000, random.Random(0))), key=is_held_out)
    for number, text in enumerate([drawn[0], drawn[-1]], 1):
        write_shard(corpus, number, [(np.zeros((80, 120), np.float32), about | {"text": text})])
    shipped = read_recogniser(SHIPPED)
    write_recogniser(replace(shipped, whisper_sha256="0" * 64), tmp_path / "start.safetensors")
    other = job.model_copy(update={"start": tmp_path / "start.safetensors"})
    with pytest.raises(AttuneError, match="was made for another speech model"):
        train_base_recogniser(other, silent)
