"""A personal round: frames, training, export, judgement, a new generation. Knows the order of things; each part is elsewhere."""

import resource
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import torch

from engines.card import Card, JudgedUtterance, Judgement
from engines.confidence import Confidence
from engines.digest import sha256_of
from engines.errors import AttuneError
from engines.generation import (
    ADAPTER,
    ADAPTER_WEIGHTS,
    BASE,
    PROJECTOR,
    WEIGHTS,
    Generation,
    read_generation,
    write_generation,
)
from engines.job import AdaptJob, Example
from engines.reader import Reader
from engines.types import FRAME_SECONDS

from .batches import draw_beside
from .checkpoint import Run
from .cif import CifConfig, CifProjector
from .dataset import make_sample
from .distil_stage import distil, make_lessons
from .embedlink import EmbedLink
from .evaluate import Hear, Judge, Scored
from .own_requests import telling_requests
from .partial_lora import export_adapter, save_adapter
from .projector_file import export_projector, load_projector, save_projector
from .reliability import learn_confidence
from .replay import load_replay
from .reporting import Report, versions
from .samples import Sample
from .training import PERSONAL_PULL, Schedule, describe, fit, fraction, tail_means

OWN_PER_STEP = 8
REPLAYED_PER_STEP = 8
PASSES = 5
"""How often each utterance is seen at most: more learns the recordings, not the voice."""
LEAST_STEPS = 150
REPORT_EVERY_STEPS = 5


def adapt(job: AdaptJob, report: Report) -> int:
    """Run `job` and return the number of the generation it wrote. What a killed run of the same job did is not done again.

    Raises AttuneError where there is nothing to train on, the parent is damaged, or training diverges.
    """
    torch.set_num_threads(job.threads)
    parent = read_generation(job.generations / f"{job.parent:04d}")
    weights, projector_onnx = job.folder / "projector.safetensors", job.folder / "projector.onnx"
    training = [example for example in job.examples if not example.holdout]
    judge = Judge(job.engines, job.features, job.system_prompt, job.threads, job.reply_tokens, job.reply_utterances)
    projector = load_projector(parent.weights)
    samples, seconds = _samples(training, judge, projector.config, report)
    projector.heard_tokens.update(token for sample in samples for token in sample.tokens.tolist())
    projector.keys.requires_grad_(False)  # what a word sounds like is not this speaker's to change; what is heard is
    replay = load_replay(job.features, judge.vocabulary, projector.config.stack)
    torch.manual_seed(job.seed)
    embedlink = EmbedLink(projector, judge.vocabulary)
    steps = max(LEAST_STEPS, PASSES * len(samples) // OWN_PER_STEP)
    schedule = Schedule(steps, job.training_seconds, job.learning_rate, seed=job.seed, pull=PERSONAL_PULL)
    draw = draw_beside(samples, OWN_PER_STEP, replay, REPLAYED_PER_STEP, job.seed)
    run = Run()
    for run in fit(embedlink, draw, schedule, job.folder / "checkpoint.safetensors"):
        if run.step % REPORT_EVERY_STEPS == 0:
            report("train", fraction(run, schedule), describe(run, ("contrast",)))
    adapter_files, distilled = _distil(job, judge, parent, projector, training, report) if job.distil else ({}, Run())
    report("export", 0.0, "")
    save_projector(projector, weights)
    export_projector(projector, projector_onnx)
    report("judge", 0.0, "")
    requests = telling_requests(example.text for example in training)
    confidence = _confidence(job, judge, parent, judge.reader(projector_onnx, None, requests), report)
    candidate = judge.reader(projector_onnx, confidence, requests)
    replies = _compare_replies(job, judge, candidate, adapter_files.get(ADAPTER))
    if replies and replies["blends"] > replies["rows"]:
        candidate = replace(candidate, blends=True)
    else:
        adapter_files = {}
    judgements = _judge(job, judge, parent, candidate, adapter_files.get(ADAPTER), report)
    card = Card(
        number=job.number,
        parent=job.parent,
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        recipe="embedlink-cif, distilled" if adapter_files else "embedlink-cif",
        examples_by_origin=dict(Counter(example.origin for example in training)),
        trained_seconds_of_audio=round(seconds, 2),
        training_seconds=round(run.seconds + distilled.seconds, 2),
        steps=run.step + distilled.step,
        skipped_steps=run.skipped + distilled.skipped,
        losses=tail_means(run) | tail_means(distilled),
        peak_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        seed=job.seed,
        versions=versions(),
        language_model_sha256=sha256_of(job.engines.language_model),
        encoder_sha256=sha256_of(job.engines.encoder_weights / "model.bin"),
        confidence=confidence,
        requests=requests,
        replies=replies,
        **judgements,
    )
    generation = write_generation(
        job.generations, job.number, card, {PROJECTOR: projector_onnx, WEIGHTS: weights, **adapter_files}
    )
    return generation.number


def _distil(
    job: AdaptJob, judge: Judge, parent: Generation, projector: CifProjector, training: list[Example], report: Report
) -> tuple[dict[str, Path], Run]:
    """Train `projector` on, and an adapter; the files of the adapter, by their names in a generation, and how that went."""
    assert job.distil is not None
    lessons = make_lessons(judge, training, projector.config.stack, report)
    checkpoint = job.folder / "distil.safetensors"
    adapted, run = distil(projector, judge, lessons, job.distil, job.seed, parent.adapter_weights, checkpoint, report)
    folder, exported = job.folder / ADAPTER_WEIGHTS, job.folder / ADAPTER
    save_adapter(adapted, folder)
    export_adapter(adapted, exported)
    kept = (path for path in folder.iterdir() if path.suffix in (".json", ".safetensors"))
    return {ADAPTER: exported} | {f"{ADAPTER_WEIGHTS}/{path.name}": path for path in kept}, run


def _compare_replies(job: AdaptJob, judge: Judge, reader: Reader, adapter: Path | None) -> dict[str, float]:
    """How well replies to rows, and to blends through `adapter`, agree with those to the true text; nothing without one."""
    if adapter is None:
        return {}
    found = {}
    for name, some in (("rows", reader), ("blends", replace(reader, blends=True))):
        judge.pass_through(adapter if some.blends else None)
        answered = _holdout(job)[: job.reply_utterances]
        score = judge.score(judge.aligned(some), answered, f"replies to {name}", replies=True).score
        if score.rouge_l is None:
            return {}
        found[name] = score.rouge_l
    return found


def _samples(training: list[Example], judge: Judge, config: CifConfig, report: Report) -> tuple[list[Sample], float]:
    samples, seconds, unusable = [], 0.0, 0
    for index, example in enumerate(training):
        try:
            frames = judge.frames(example)
            draft = judge.draft(example).text if config.reads_draft else ""
        except AttuneError as error:
            unusable += 1
            report("frames", index / len(training), f"left out: {error}")
            continue
        sample = make_sample(frames, example.text, draft, judge.vocabulary, config.stack)
        if sample is None:
            unusable += 1
        else:
            samples.append(sample)
            seconds += len(frames) * FRAME_SECONDS
        report("frames", (index + 1) / len(training), f"{index + 1} of {len(training)} utterances")
    if not samples:
        raise AttuneError(f"none of the {len(training)} labelled utterances can be trained on ({unusable} unusable); enrol some")
    return samples, seconds


def _holdout(job: AdaptJob) -> list[Example]:
    return [example for example in job.examples if example.holdout and example.origin != "recognised"]


def _confidence(job: AdaptJob, judge: Judge, parent: Generation, reader: Reader, report: Report) -> Confidence | None:
    heard = [*judge.heard_by(reader, _holdout(job), own=True), *judge.heard_by(reader, job.general, own=False)]
    return learn_confidence(reader, heard, _base_confidence(job, parent, report))


def _base_confidence(job: AdaptJob, parent: Generation, report: Report) -> Confidence | None:
    """The base's, whose many readings a round's few are added to: not the parent's, which has counted the older ones already.

    The parent's where the base is gone, which is reported.
    """
    try:
        return read_generation(job.generations / f"{BASE:04d}").card.confidence
    except AttuneError as error:
        report("judge", 0.0, f"the parent's confidence in place of the base's: {error}")
        return parent.card.confidence


def _judge(
    job: AdaptJob, judge: Judge, parent: Generation, candidate: Reader, adapter: Path | None, report: Report
) -> dict[str, Judgement]:
    sets = {
        "holdout": _holdout(job),
        "recognised": [e for e in job.examples if e.holdout and e.origin == "recognised"],
        "general": job.general,
    }
    hearings: dict[str, tuple[Hear, Path | None]] = {
        "candidate": (judge.aligned(candidate), adapter),
        "current": (judge.aligned(judge.serving_reader(parent)), parent.adapter),
        "cascade": (judge.cascade, None),
    }
    to_do = sum(len(examples) for examples in sets.values()) * len(hearings)
    done = 0

    def count(note: str) -> None:
        nonlocal done
        done += 1
        report("judge", done / max(to_do, 1), note)

    def score(who: str, name: str) -> Scored:
        hear, through = hearings[who]
        judge.pass_through(through)
        return judge.score(hear, sets[name], f"{name}, {who}", name == "holdout")

    judge.heard = count
    return {
        name: _judgement(examples, {who: score(who, name) for who in hearings}) for name, examples in sets.items() if examples
    }


def _judgement(examples: list[Example], by: dict[str, Scored]) -> Judgement:
    """`by` the names of Judgement's scores."""
    utterances = []
    for place, example in enumerate(examples):
        errors = {who: scored.counted[place][0] for who, scored in by.items()}
        _, words = next(iter(by.values())).counted[place]
        utterances.append(JudgedUtterance(id=example.id, words=words, **errors))
    return Judgement(**{who: scored.score for who, scored in by.items()}, utterances=tuple(utterances))
