"""`attune align train`: a base projector from corpora, by one process or by many under torchrun. Knows the order of things."""

import json
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch
from torch import distributed

from engines.confidence import Confidence
from engines.durable import write_atomically
from engines.errors import AttuneError
from engines.job import TrainJob
from engines.projector import OnnxProjector
from engines.reader import open_reader
from engines.vocabulary import Vocabulary

from .batches import draw_epochs
from .checkpoint import Run
from .cif import CifConfig, CifProjector
from .dataset import make_sample
from .embedlink import EmbedLink, draft_rows
from .held_out_text import is_held_out
from .projector_file import export_projector, load_projector, save_packed
from .reliability import Reading, fit_confidence, looks
from .reporting import Report, versions
from .samples import Sample, collate
from .shards import Utterance, read_corpus
from .text_scores import word_errors
from .training import Schedule, fit, fraction

REPORT_EVERY_STEPS = 10
JUDGED_AT_MOST = 200


def train(job: TrainJob, report: Report) -> int:
    """Run `job` and return the number of steps taken in all. A run that was killed goes on from its checkpoint."""
    rank, world, device = _join()
    torch.set_num_threads(job.threads)
    vocabulary = Vocabulary(job.engines.language_model)
    utterances = read_corpus(job.corpora)
    first = utterances[0].frames
    config = CifConfig(frame_width=first.shape[1], embedding_width=vocabulary.width, reads_draft=True)
    report("frames", 0.0, f"{len(utterances)} utterances")
    learnt, judged = _split(utterances, vocabulary, config.stack)
    torch.manual_seed(job.seed)
    projector = _start(config, job.start)
    projector.heard_tokens.update(token for sample, _ in learnt for token in sample.tokens.tolist())
    embedlink = EmbedLink(projector, vocabulary).to(device)
    draw = draw_epochs([sample for sample, _ in learnt], job.batch, job.seed)
    schedule = Schedule(10**9, job.minutes * 60, job.learning_rate, warmup_steps=200, seed=job.seed, checkpoint_seconds=120.0)
    run = Run()
    for run in fit(embedlink, lambda step: draw(step * world + rank), schedule, job.folder / "checkpoint.safetensors"):
        if rank == 0 and run.step % REPORT_EVERY_STEPS == 0:
            losses = ", ".join(f"{name} {value:.2f}" for name, value in _recent(run).items())
            report("train", fraction(run, schedule), f"step {run.step}: {losses}")
    if rank == 0:
        report("judge", 0.0, f"{len(judged)} unheard sentences")
        projector.cpu()
        save_packed(projector, job.folder / "projector.safetensors")
        confidence = _confidence(job, vocabulary, [utterance for utterance in utterances if is_held_out(utterance.row.text)])
        seconds = sum(utterance.row.seconds for utterance in utterances)
        card = {
            "recipe": "embedlink-cif with drafts",
            "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "started_from": str(job.start.name) if job.start else None,
            "utterances": len(learnt),
            "hours": round(seconds / 3600, 2),
            "voices": _voices(utterances),
            "steps": run.step,
            "batch": job.batch * world,
            "epochs": round(run.step * job.batch * world / len(learnt), 2),
            "training_seconds": round(run.seconds),
            "device": torch.cuda.get_device_name() if device.type == "cuda" else f"processor, {job.threads} threads",
            "seed": job.seed,
            "losses": {name: round(value, 4) for name, value in _recent(run).items()},
            "unheard_sentences": {
                "word_error_rate": round(token_word_error(projector, judged, vocabulary), 4),
                "word_error_rate_without_drafts": round(token_word_error(projector, judged, vocabulary, drafts=False), 4),
            },
            "heard_tokens": len(projector.heard_tokens),
            "confidence": confidence.model_dump() if confidence is not None else None,
            "versions": versions(),
        }
        write_atomically(job.folder / "card.json", json.dumps(card, indent=2).encode() + b"\n")
    return run.step


def token_word_error(
    projector: CifProjector, judged: Sequence[tuple[Sample, str]], vocabulary: Vocabulary, drafts: bool = True
) -> float:
    """Word error rate of each unit's nearest token, the number of units decided by the projector."""
    projector.eval()
    errors = words = 0
    with torch.no_grad():
        for sample, text in judged:
            batch = collate([sample])
            batch = batch if drafts else batch.without_drafts(torch.ones(1, dtype=torch.bool))
            draft = draft_rows(batch, vocabulary) if projector.config.reads_draft else None
            output = projector(batch.stacked, batch.mask, draft)
            heard = vocabulary.detokenize(vocabulary.nearest(output.vectors[0].numpy())[0])
            wrong, total = word_errors(text, heard)
            errors, words = errors + wrong, words + total
    return errors / max(words, 1)


def _join() -> tuple[int, int, torch.device]:
    """This process's number, how many there are, and what it computes on."""
    cuda = torch.cuda.is_available()
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world > 1 and not distributed.is_initialized():
        distributed.init_process_group("nccl" if cuda else "gloo")
    rank = distributed.get_rank() if world > 1 else 0
    return rank, world, torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0"))) if cuda else torch.device("cpu")


def _start(config: CifConfig, start: Path | None) -> CifProjector:
    """A new projector, with the weights of another where they have the same name. Raises AttuneError where a shape differs."""
    projector = CifProjector(config)
    if start is not None:
        older = load_projector(start)
        projector.heard_tokens = set(older.heard_tokens)
        try:
            projector.load_state_dict(older.state_dict(), strict=False)
        except RuntimeError as error:
            raise AttuneError(f"{start} has other sizes ({str(error).splitlines()[-1].strip()}); start from another") from None
    return projector


def _split(
    utterances: Sequence[Utterance], vocabulary: Vocabulary, stack: int
) -> tuple[list[tuple[Sample, str]], list[tuple[Sample, str]]]:
    """Samples to learn from and to judge on, by a hash of the text: no sentence is in both, whoever says it."""
    learnt: list[tuple[Sample, str]] = []
    judged: list[tuple[Sample, str]] = []
    for utterance in utterances:
        text = utterance.row.text
        sample = make_sample(utterance.frames, text, utterance.row.draft, vocabulary, stack)
        if sample is not None:
            (judged if is_held_out(text) else learnt).append((sample, text))
    if not learnt or not judged:
        raise AttuneError(f"{len(utterances)} utterances are too few to train on and to judge; make a larger corpus")
    return learnt, judged[:JUDGED_AT_MOST]


def _confidence(job: TrainJob, vocabulary: Vocabulary, judged: Sequence[Utterance]) -> Confidence | None:
    """Of what ships, on sentences never trained on, through the graph that serves."""
    graph = job.folder / "projector.onnx"
    export_projector(load_projector(job.folder / "projector.safetensors"), graph)
    reader = open_reader(OnnxProjector(graph, job.threads), vocabulary, None, job.threads)
    readings: list[Reading] = []
    for utterance in judged[:JUDGED_AT_MOST]:
        frames = np.asarray(utterance.frames, np.float32)
        readings += looks(reader, frames, utterance.row.draft, utterance.row.text, own=False)
    return fit_confidence(readings)


def _voices(utterances: Sequence[Utterance]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for utterance in utterances:
        kind = utterance.row.voice.split(" ")[0] + (" atypical" if "rules" in utterance.row.voice else "")
        counts[kind] = counts.get(kind, 0) + 1
    return dict(sorted(counts.items()))


def _recent(run: Run) -> dict[str, float]:
    return {name: float(np.mean([losses[name] for losses in run.losses[-50:]])) for name in run.losses[-1]}
