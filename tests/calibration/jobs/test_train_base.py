"""Training a base projector on a corpus: it learns, goes on where it was stopped, and two processes
train it together."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from calibration.corpus.encoded import encode_shards
from calibration.corpus.shards import write_shard
from calibration.corpus.training_requests import requests
from calibration.export.projector_file import load_projector, save_projector
from calibration.projector.cif import CifConfig, CifProjector
from calibration.recogniser.start import base_of
from calibration.training.opening import key_of
from engines.jobs.calibration_jobs import TrainJob
from engines.jobs.messages import EngineFiles, Progress
from engines.types import Float32, Transcript
from engines.whisper.recogniser import Recogniser

WIDTH = 384
VOICES = ("flite slt, 160 words a minute", "espeak-ng en-us, 160 words a minute, 2 rules")


@dataclass
class Told:
    """An encoder and a decoder that are told what they hear: frames that say nothing, and the
    texts."""

    texts: list[str]
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))

    def run(self, mel: Float32) -> Float32:
        return self.rng.standard_normal((mel.shape[1] // 2, WIDTH)).astype(np.float32)

    def decode(self, frames: Float32) -> Transcript:
        return Transcript(self.texts.pop(0), 1.0)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus encoded in `encoded`, whose first-pass transcripts are the texts: all there is to
    learn is to copy."""
    folder = tmp_path_factory.mktemp("corpus")
    texts = requests(400, random.Random(0))
    silence = np.zeros((80, 180), np.float32)
    spoken = [
        (silence, {"text": text, "voice": VOICES[index % 2], "seconds": 1.8})
        for index, text in enumerate(texts)
    ]
    write_shard(folder, 0, spoken)
    told: Any = Told(texts)
    recogniser = Recogniser(encoder=told, decoder=told)
    encode_shards(folder, folder / "encoded", [0], recogniser)
    return folder


@pytest.fixture(scope="module")
def pronounced(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained projector that has pronunciations: making them anew takes longer than these
    runs."""
    torch.manual_seed(0)
    projector = CifProjector(CifConfig(WIDTH, 576, 49_152, reads_first_pass=True))
    projector.keys.phonemes[:, :5] = torch.randint(1, 70, (49_152, 5))
    path = tmp_path_factory.mktemp("pronounced") / "projector.safetensors"
    save_projector(projector, path)
    return path


@pytest.fixture
def job(
    tmp_path: Path,
    corpus: Path,
    pronounced: Path,
    encoder_path: Path,
    whisper_folder: Path,
    llm_path: Path,
) -> TrainJob:
    engines = EngineFiles(
        encoder=encoder_path,
        encoder_weights=whisper_folder,
        language_model=llm_path,
        served_language_model=llm_path,
    )
    key = key_of(base_of(engines), engines)
    encoded = tmp_path / "encoded" / key / f"0-{corpus.name}"
    shutil.copytree(corpus / "encoded", encoded)
    return TrainJob(
        folder=tmp_path,
        engines=engines,
        corpora=[corpus],
        start=pronounced,
        minutes=0.15,
        batch=4,
        threads=1,
    )


def start(job: TrainJob, processes: int = 1) -> "subprocess.Popen[str]":
    path = job.folder / "job.json"
    path.write_text(job.model_dump_json())
    module = ["calibration.torchrun", str(processes)] if processes > 1 else ["calibration"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", *module, str(path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )


def run(job: TrainJob, processes: int = 1) -> list[Progress]:
    with start(job, processes) as child:
        out, err = child.communicate(timeout=1800)
    assert child.returncode == 0, out[-600:] + err
    return [Progress.model_validate_json(line) for line in out.splitlines()]


@pytest.mark.slow
def test_a_projector_with_a_card_comes_out_and_can_be_gone_on_from(
    job: TrainJob, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    older = CifProjector(
        CifConfig(WIDTH, 576, 49_152)
    )  # reads no first-pass transcripts, knows no pronunciations
    older.known_tokens = {5}
    save_projector(older, tmp_path / "older.safetensors")
    lines = run(
        job.model_copy(update={"start": tmp_path / "older.safetensors", "atypical_times": 3})
    )
    assert list(dict.fromkeys(line.stage for line in lines)) == [
        "frames",
        "pronounce",
        "train",
        "judge",
        "done",
    ]
    projector = load_projector(job.folder / "projector.safetensors")
    assert projector.config.reads_first_pass
    assert 5 in projector.known_tokens
    assert (projector.keys.phonemes > 0).any(dim=1).sum() > 40_000
    assert (job.folder / "projector.safetensors").stat().st_size < 20e6
    card = json.loads((job.folder / "card.json").read_text())
    assert card["steps"] == int(lines[-1].note)
    assert (
        f"attune align train {job.corpora[0].name} --out {job.folder.name} --start"
        " older.safetensors" in card["command"]
    )
    assert card["hours"] == pytest.approx(0.2)
    assert card["voices"] == {"espeak-ng atypical": 200, "flite": 200}
    assert "--atypical-times 3 " in card["command"]
    drawn_per_epoch = 2 * card["utterances"]  # one time half of them, three times the others
    assert card["epochs"] == pytest.approx(card["steps"] * 4 / drawn_per_epoch, rel=0.1, abs=0.01)
    assert card["losses"].keys() == {
        "contrast",
        "sound",
        "mse",
        "cosine",
        "ctc",
        "quantity",
        "copy",
    }
    unheard = card["unheard_sentences"]
    assert unheard["word_error_rate"] < unheard["word_error_rate_without_drafts"]


def first_step_reported(job: TrainJob) -> int:
    """Start `job`, stop it at its first report of a step, and return the step."""
    with start(job) as child:
        assert child.stdout is not None
        reports = (Progress.model_validate_json(line) for line in child.stdout)
        step = next(
            int(report.note.split()[1].rstrip(":")) for report in reports if report.stage == "train"
        )
        child.send_signal(signal.SIGTERM)
        child.communicate(timeout=900)
    assert child.returncode == 143
    return step


@pytest.mark.slow
def test_a_stopped_run_goes_on(job: TrainJob) -> None:
    job = job.model_copy(update={"minutes": 60.0})
    assert first_step_reported(job) < first_step_reported(job)


@pytest.mark.slow
def test_two_processes_learn_together(job: TrainJob) -> None:
    lines = run(job, processes=2)
    assert [line.stage for line in lines].count("done") == 2
    card = json.loads((job.folder / "card.json").read_text())
    assert card["batch"] == 8
    assert card["steps"] > 0
    assert load_projector(job.folder / "projector.safetensors").config.reads_first_pass


def test_too_small_a_corpus_is_one_clear_line(job: TrainJob, tmp_path: Path) -> None:
    folder = tmp_path / "small"
    folder.mkdir()
    about = {"text": "Hello there.", "voice": "v", "seconds": 1.0}
    write_shard(folder, 0, [(np.zeros((80, 120), np.float32), about)])
    with start(job.model_copy(update={"corpora": [folder]})) as child:
        out, _ = child.communicate(timeout=900)
    assert child.returncode == 1
    assert Progress.model_validate_json(out.splitlines()[-1]).note.startswith(
        "1 utterances are too few"
    )
