"""`attune align recogniser`: trains a base recogniser, which users' own recognisers start from, on
corpora; in one process or in several under torchrun. Knows the order of the steps."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import torch

from engines.errors import AttuneError
from engines.files import sha256_of, write_atomically
from engines.jobs.calibration_jobs import TrainRecogniserJob
from engines.jobs.messages import Report
from engines.whisper.encoder_onnx import OnnxEncoder
from engines.whisper.first_pass import FirstPassDecoder
from engines.whisper.recogniser import Recogniser
from engines.whisper.recogniser_weights import (
    RecogniserWeights,
    read_recogniser,
    write_recogniser,
)
from engines.whisper.transcriber import WhisperTranscriber

from ..corpus.describe import commands_of, count_voices, hours_of
from ..corpus.shards import Utterance, read_corpus
from ..corpus.synthesis import is_atypical
from ..corpus.texts import is_held_out
from ..evaluation.text_scores import word_error_rate
from ..provenance import versions
from ..recogniser.learner import RecogniserLearner
from ..recogniser.lora import add_lora, weights_of
from ..recogniser.samples import Labels, SpokenSample
from ..recogniser.whisper_model import TrimmedEncoder, load_whisper, silent_tail
from ..training.batches import draw_epochs
from ..training.checkpoint import Run
from ..training.loop import Schedule, fit, fraction, recent_means
from ..training.opening import open_weights
from ..training.processes import TrainingProcess, join_processes

LONGEST_SECONDS = 14.0
"""The longest utterance that is trained on: its batch of sixteen takes two gigabytes."""
JUDGED_AT_MOST = 200
"""The most utterances to judge on, of atypical voices and of others each."""


@dataclass(frozen=True)
class _Split:
    """Utterances to learn from and to judge on; no sentence is in both."""

    learnt: list[Utterance]
    atypical: list[Utterance]
    others: list[Utterance]


def train_base_recogniser(job: TrainRecogniserJob, report: Report) -> int:
    """Run `job` and return the number of steps taken in all. A run that was killed goes on from its
    checkpoint.

    Raises AttuneError where there is no corpus, it is too small, or `job.start` is of another
    model.
    """
    process = join_processes()
    torch.set_num_threads(job.threads)
    sha256 = sha256_of(job.engines.encoder_weights_file)
    split = _split(read_corpus(job.corpora))
    start = read_recogniser(job.start) if job.start is not None else None
    if start is not None and start.whisper_sha256 != sha256:
        raise AttuneError(f"{job.start} was made for another speech model; start from another")
    whisper = load_whisper(job.engines.encoder_weights_file)
    tail = start.silent_tail if start else silent_tail(TrimmedEncoder(whisper.encoder))
    torch.manual_seed(job.seed)
    learner = RecogniserLearner(add_lora(whisper, start, job.rank), tail).to(process.device)
    samples = _samples(job, split.learnt)
    report("train", 0.0, f"{len(samples)} samples, {len(split.learnt)} utterances")
    run = _fit(job, process, learner, samples, report)
    if process.is_first:
        weights = weights_of(learner.adapted.cpu(), tail, sha256)
        write_recogniser(weights, job.folder / "recogniser.safetensors")
        report("judge", 0.0, "sentences never trained on")
        _write_card(job, process, run, split, len(samples), weights)
    return run.step


def _split(utterances: Sequence[Utterance]) -> _Split:
    """Divide by a hash of the text. Raises AttuneError where there are too few."""
    short = [one for one in utterances if one.row.seconds <= LONGEST_SECONDS]
    learnt = [one for one in short if not is_held_out(one.row.text)]
    judged = [one for one in short if is_held_out(one.row.text)]
    if not learnt or not judged:
        raise AttuneError(
            f"{len(utterances)} utterances are too few to train on and to judge; make a larger"
            " corpus"
        )
    atypical = [one for one in judged if is_atypical(one.row.voice)]
    others = [one for one in judged if not is_atypical(one.row.voice)]
    return _Split(learnt, atypical[:JUDGED_AT_MOST], others[:JUDGED_AT_MOST])


def _samples(job: TrainRecogniserJob, learnt: Sequence[Utterance]) -> list[SpokenSample]:
    """The samples that an epoch draws: each one, those of atypical voices `atypical_times`."""
    labels = Labels(job.engines.encoder_weights, job.engines.language)
    samples: list[SpokenSample] = []
    for one in learnt:
        sample = labels.sample(one.log_mel, one.row.text)
        if sample is not None:
            samples += [sample] * (job.atypical_times if is_atypical(one.row.voice) else 1)
    return samples


def _fit(
    job: TrainRecogniserJob,
    process: TrainingProcess,
    learner: RecogniserLearner,
    samples: Sequence[SpokenSample],
    report: Report,
) -> Run:
    """Train `learner` for the job's time; this process takes its share of each step."""
    draw = draw_epochs(samples, job.batch, job.seed)
    schedule = Schedule(
        10**9,
        job.minutes * 60,
        job.learning_rate,
        warmup_steps=50,
        seed=job.seed,
        checkpoint_seconds=300.0,
    )
    run = Run()
    for run in fit(
        learner,
        lambda step: draw(step * process.world + process.rank),
        schedule,
        job.folder / "recogniser.checkpoint.safetensors",
    ):
        if process.is_first:
            loss = recent_means(run).get("tokens", 0.0)
            report("train", fraction(run, schedule), f"step {run.step}: tokens {loss:.3f}")
    return run


def _write_card(
    job: TrainRecogniserJob,
    process: TrainingProcess,
    run: Run,
    split: _Split,
    drawn: int,
    weights: RecogniserWeights,
) -> None:
    opened = open_weights(weights, job.engines, job.threads)
    encoder = OnnxEncoder(job.engines.encoder, job.threads)
    came = WhisperTranscriber(
        job.engines.encoder_weights, job.threads, language=job.engines.language
    )
    before = Recogniser(encoder, FirstPassDecoder(came.windows, encoder))
    sets = {"atypical": split.atypical, "others": split.others}
    card = {
        "recipe": (
            f"low-rank changes (rank {_rank(weights)}) to every linear layer of Whisper, on windows"
            " trimmed to the utterance"
        ),
        "command": _command(job, process.world),
        "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "started_from": job.start.name if job.start else None,
        "whisper_sha256": weights.whisper_sha256,
        "utterances": len(split.learnt),
        "hours": hours_of(one.row for one in split.learnt),
        "voices": count_voices(one.row for one in split.learnt),
        "steps": run.step,
        "batch": job.batch * process.world,
        "epochs": round(run.step * job.batch * process.world / drawn, 2),
        "learning_rate": job.learning_rate,
        "processor_seconds": round(run.processor_seconds),
        "wall_seconds": round(run.seconds),
        "device": process.device_name,
        "seed": job.seed,
        "losses": {name: round(value, 4) for name, value in recent_means(run).items()},
        "unheard_sentences": {
            name: {
                "utterances": len(judged),
                "word_error_rate": _word_error(opened, judged),
                "word_error_rate_of_whisper": _word_error(before, judged),
            }
            for name, judged in sets.items()
            if judged
        },
        "versions": versions(),
    }
    write_atomically(job.folder / "recogniser.json", json.dumps(card, indent=2).encode() + b"\n")


def _word_error(recogniser: Recogniser, judged: Sequence[Utterance]) -> float:
    """The word error rate of the served recogniser on `judged`."""
    pairs = []
    for one in judged:
        frames = recogniser.encoder.run(np.ascontiguousarray(one.log_mel, np.float32))
        pairs.append((one.row.text, recogniser.decoder.decode(frames).text))
    return round(word_error_rate(pairs)[0], 4)


def _rank(weights: RecogniserWeights) -> int:
    return max(len(change.down) for change in weights.changes.values())


def _command(job: TrainRecogniserJob, processes: int) -> str:
    """The commands that make this recogniser again, the corpora first."""
    folders = " ".join(folder.name for folder in job.corpora)
    start = f" --start {job.start.name}" if job.start else ""
    options = (
        f" --minutes {job.minutes:g} --learning-rate {job.learning_rate:g} --rank {job.rank}"
        f" --batch {job.batch} --atypical-times {job.atypical_times} --seed {job.seed}"
        f" --processes {processes}"
    )
    made = f"attune align recogniser {folders} --out {job.folder.name}{start}{options}"
    return " && ".join([*commands_of(job.corpora), made])
