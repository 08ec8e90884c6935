"""`attune align train`: trains a base projector on corpora, in one process or in several under
torchrun. Knows the order of the steps."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import numpy as np
import torch

from engines.alignment.confidence import Confidence
from engines.alignment.decoder import open_decoder
from engines.alignment.projector import OnnxProjector
from engines.alignment.usual_requests import requests_before
from engines.errors import AttuneError
from engines.files import write_atomically
from engines.jobs.calibration_jobs import TrainJob
from engines.jobs.messages import Report
from engines.llm.chat_model import LlamaCppLanguageModel
from engines.llm.vocabulary import Vocabulary
from engines.routes import all_words_of

from ..corpus.describe import commands_of, count_voices, hours_of
from ..corpus.encoded import EncodedUtterance, encode_shards, missing_shards, read_encoded
from ..corpus.shards import Row, shards_of
from ..corpus.synthesis import is_atypical
from ..corpus.texts import is_held_out
from ..evaluation.fit_confidence import decode_example, learn_confidence
from ..evaluation.text_scores import word_error_rate
from ..export.projector_file import load_projector, save_packed
from ..projector.cif import CifConfig, CifProjector
from ..projector.decode import read_samples
from ..projector.embedlink import EmbedLink
from ..projector.pronunciation_keys import pronounce
from ..provenance import versions
from ..recogniser.start import base_of
from ..training.batches import draw_epochs
from ..training.checkpoint import Run
from ..training.loop import Schedule, fit, fraction, recent_means
from ..training.opening import key_of, open_file
from ..training.processes import TrainingProcess, join_processes
from ..training.samples import Sample, make_sample, tokens_of

JUDGED_AT_MOST = 200


def train(job: TrainJob, report: Report) -> int:
    """Run `job` and return the number of steps taken in all. A run that was killed goes on from its
    checkpoint."""
    process = join_processes()
    torch.set_num_threads(job.threads)
    vocabulary = Vocabulary(job.engines.language_model)
    utterances = _encoded(job, process, report)
    first = utterances[0].frames
    config = CifConfig(first.shape[1], vocabulary.width, vocabulary.size, reads_first_pass=True)
    report("frames", 0.0, f"{len(utterances)} utterances")
    split = _split(utterances, vocabulary, config.stack)
    torch.manual_seed(job.seed)
    projector = _start(config, job.start)
    if not projector.keys.phonemes.any():
        report("pronounce", 0.0, f"{vocabulary.size} tokens")
        projector.keys.phonemes.copy_(
            torch.from_numpy(pronounce(vocabulary, range(vocabulary.size), job.threads))
        )
    tokens = tokens_of(sample for sample, _ in split.learnt)
    embedlink = EmbedLink(projector, vocabulary, tokens).to(process.device)
    drawn = _drawn(split, job.atypical_times)
    run = _fit(job, process, embedlink, drawn, report)
    if process.is_first:
        report("judge", 0.0, f"{len(split.judged)} sentences never trained on")
        projector.cpu()
        save_packed(projector, job.folder / "projector.safetensors")
        judged = [one for one in utterances if is_held_out(one.row.text)][:JUDGED_AT_MOST]
        confidence = _confidence(job, vocabulary, judged, report)
        unheard = {
            "word_error_rate": round(token_word_error(projector, split.judged, vocabulary), 4),
            "word_error_rate_without_drafts": round(
                token_word_error(projector, split.judged, vocabulary, first_passes=False), 4
            ),
        }
        card = {  # names and values as in the cards that are stored
            "recipe": "embedlink-cif with drafts and pronunciation keys",
            "command": _command(job, process.world),
            "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "started_from": str(job.start.name) if job.start else None,
            "utterances": len(split.learnt),
            "hours": hours_of(one.row for one in utterances),
            "voices": count_voices(one.row for one in utterances),
            "steps": run.step,
            "batch": job.batch * process.world,
            "epochs": round(run.step * job.batch * process.world / len(drawn), 2),
            "processor_seconds": round(run.processor_seconds),
            "wall_seconds": round(run.seconds),
            "device": process.device_name,
            "seed": job.seed,
            "losses": {name: round(value, 4) for name, value in recent_means(run).items()},
            "unheard_sentences": unheard,
            "heard_tokens": len(projector.known_tokens),
            "confidence": confidence.model_dump() if confidence is not None else None,
            "versions": versions(),
        }
        write_atomically(job.folder / "card.json", json.dumps(card, indent=2).encode() + b"\n")
    return run.step


def _encoded(job: TrainJob, process: TrainingProcess, report: Report) -> list[EncodedUtterance]:
    """The corpora with the frames and first-pass transcripts of the base recogniser; each process
    encodes its share of what is missing. Raises AttuneError where there is no corpus, or it is
    damaged."""
    for corpus in job.corpora:
        if not shards_of(corpus):
            raise AttuneError(f"no corpus in {corpus}; run `attune align corpus`")
    recogniser = base_of(job.engines)
    encoded = job.folder / "encoded" / key_of(recogniser, job.engines)
    places = [(one, encoded / f"{n}-{one.name}") for n, one in enumerate(job.corpora)]
    missing = [missing_shards(*place)[process.rank :: process.world] for place in places]
    process.wait()  # else what another has encoded already would pass for its share
    if any(missing):
        opened = open_file(recogniser, job.engines, job.threads)
        done, shards = 0, sum(map(len, missing))

        def show(_: int) -> None:
            nonlocal done
            done += 1
            if process.is_first:
                report("frames", done / shards, f"{done} of {shards} parts encoded")

        for place, numbers in zip(places, missing, strict=True):
            encode_shards(*place, numbers, opened, show)
    process.wait()
    return [one for place in places for one in read_encoded(*place)]


def _drawn(split: "_Split", atypical_times: int) -> list[Sample]:
    """The samples that an epoch draws: each one, those of atypical voices `atypical_times`."""
    atypical = [sample for sample, row in split.learnt if is_atypical(row.voice)]
    return [*(sample for sample, _ in split.learnt), *atypical * (atypical_times - 1)]


def _fit(
    job: TrainJob,
    process: TrainingProcess,
    embedlink: EmbedLink,
    drawn: list[Sample],
    report: Report,
) -> Run:
    """Train `embedlink` for the job's time; this process takes its share of each step."""
    draw = draw_epochs(drawn, job.batch, job.seed)
    schedule = Schedule(
        10**9,
        job.minutes * 60,
        job.learning_rate,
        warmup_steps=200,
        seed=job.seed,
        checkpoint_seconds=120.0,
    )
    checkpoint = job.folder / "checkpoint.safetensors"
    run = Run()
    for run in fit(
        embedlink, lambda step: draw(step * process.world + process.rank), schedule, checkpoint
    ):
        if process.is_first:
            losses = ", ".join(f"{name} {value:.2f}" for name, value in recent_means(run).items())
            report("train", fraction(run, schedule), f"step {run.step}: {losses}")
    return run


def token_word_error(
    projector: CifProjector,
    judged: Sequence[tuple[Sample, Row]],
    vocabulary: Vocabulary,
    *,
    first_passes: bool = True,
) -> float:
    """The word error rate of `projector` on `judged`, where it decides on the number of units
    itself; `first_passes` says whether it gets the first-pass transcripts."""
    projector.eval()
    heard = all_words_of(
        read_samples(
            projector, [sample for sample, _ in judged], vocabulary, first_passes=first_passes
        ),
        vocabulary,
    )
    pairs = [(row.text, found) for (_, row), found in zip(judged, heard, strict=True)]
    return word_error_rate(pairs)[0]


def _start(config: CifConfig, start: Path | None) -> CifProjector:
    """A new projector, which takes the weights of the projector `start` wherever names agree.
    Raises AttuneError where a shape differs."""
    projector = CifProjector(config)
    if start is not None:
        older = load_projector(start)
        projector.known_tokens = set(older.known_tokens)
        try:
            projector.load_state_dict(older.state_dict(), strict=False)
        except RuntimeError as error:
            raise AttuneError(
                f"{start} has other sizes ({str(error).splitlines()[-1].strip()}); start from"
                " another"
            ) from None
    return projector


@dataclass(frozen=True)
class _Split:
    """Samples with their rows of the corpus. No sentence is in both lists, whichever voices say
    it."""

    learnt: list[tuple[Sample, Row]]
    judged: list[tuple[Sample, Row]]
    """The samples to judge on, at most JUDGED_AT_MOST."""


def _split(utterances: Sequence[EncodedUtterance], vocabulary: Vocabulary, stack: int) -> _Split:
    """Samples to learn from and samples to judge on, divided by a hash of the text. Raises
    AttuneError where there are too few."""
    learnt: list[tuple[Sample, Row]] = []
    judged: list[tuple[Sample, Row]] = []
    for utterance in utterances:
        text = utterance.row.text
        sample = make_sample(utterance.frames, text, utterance.first_pass.text, vocabulary, stack)
        if sample is not None:
            (judged if is_held_out(text) else learnt).append((sample, utterance.row))
    if not learnt or not judged:
        raise AttuneError(
            f"{len(utterances)} utterances are too few to train on and to judge; make a larger"
            " corpus"
        )
    return _Split(learnt, judged[:JUDGED_AT_MOST])


def _confidence(
    job: TrainJob, vocabulary: Vocabulary, judged: Sequence[EncodedUtterance], report: Report
) -> Confidence | None:
    """The confidence of the projector that ships, fitted on sentences never trained on, through the
    graph that serves."""
    from ..export.projector import export_projector  # it takes 140 MB and seconds to import

    graph = job.folder / "projector.onnx"
    export_projector(load_projector(job.folder / "projector.safetensors"), graph)
    model = LlamaCppLanguageModel(
        job.engines.served_language_model, vocabulary, "", 256, job.threads
    )
    scorer = model.scorer.after(requests_before((), vocabulary))
    decoder = open_decoder(OnnxProjector(graph, job.threads), vocabulary, None, scorer, job.threads)
    recogniser = open_file(base_of(job.engines), job.engines, job.threads)
    decoded = []
    for index, utterance in enumerate(judged, 1):
        report("judge", index / len(judged), f"confidence, {index} of {len(judged)} sentences")
        frames = np.asarray(utterance.frames, np.float32)
        # Decoded anew: the corpus does not say how sure a first-pass transcript was.
        decoded.append(
            decode_example(
                decoder,
                frames,
                partial(recogniser.decoder.decode, frames),
                utterance.row.text,
                own=False,
            )
        )
    model.close()
    return learn_confidence(decoder, decoded)


def _command(job: TrainJob, processes: int) -> str:
    """The commands that make this projector again, the corpora first."""
    start = f" --start {job.start.name}" if job.start else ""
    options = (
        f"--minutes {job.minutes:g} --learning-rate {job.learning_rate:g} --batch {job.batch}"
        f" --seed {job.seed}"
    )
    options += f" --atypical-times {job.atypical_times}" if job.atypical_times > 1 else ""
    folders = " ".join(folder.name for folder in job.corpora)
    return " && ".join(
        [
            *commands_of(job.corpora),
            (
                f"attune align train {folders} --out {job.folder.name}{start} {options} --processes"
                f" {processes}"
            ),
        ]
    )
