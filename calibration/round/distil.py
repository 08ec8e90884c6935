"""A round's stages of distillation: they make samples with teacher targets from the user's
utterances, and train an adapter through which speech is read.

Knows the order of the steps; samples and losses are elsewhere.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from peft import PeftModel

from engines.files import sha256_of
from engines.generations.folder import read_generation
from engines.jobs.footprints import DISTILLED_PER_STEP
from engines.jobs.messages import AdaptJob, DistilRecipe, Example, Report

from ..distillation.gguf_model import load_language_model
from ..distillation.losses import LOSS_WEIGHTS, Distillation, DistillationSample
from ..distillation.partial_lora import (
    add_adapter,
    export_adapter,
    load_adapter,
    save_adapter,
    set_speech,
)
from ..distillation.teacher_targets import INSTRUCTIONS, DistillationSampleMaker
from ..evaluation.judge import Judge
from ..export.projector_file import load_projector, save_projector
from ..projector.cif import CifProjector
from ..projector.embedlink import EmbedLink
from ..training.batches import draw_epochs
from ..training.checkpoint import Run
from ..training.loop import PERSONAL_L2_SP_WEIGHT, Schedule, describe, fit, fraction
from ..training.samples import make_sample, tokens_of
from .folder import RoundFolder, StageRecord
from .trained import record_of

WARMUP_STEPS = 10


def prepare_distillation(job: AdaptJob, report: Report) -> StageRecord:
    """Make the distillation samples of `job`, and leave their teacher targets in the folder of
    features. Only this stage must have the teacher open."""
    _samples_of(job, load_projector(RoundFolder(job.folder).trained), report)
    return StageRecord()


def distil_round(job: AdaptJob, report: Report) -> StageRecord:
    """Distil the projector that EmbedLink trained; write the adapter, and the projector where it
    was trained, too. Raises AttuneError as `distil` does."""
    assert job.distil is not None
    folder = RoundFolder(job.folder)
    torch.manual_seed(job.seed)
    projector = load_projector(folder.trained)
    judge, samples = _samples_of(job, projector, report)
    judge.close_language_model()  # making samples needs it, training only its blocks
    start = read_generation(job.generations / f"{job.parent:04d}").adapter_weights
    adapted, run = distil(
        projector,
        judge,
        samples,
        job.distil,
        job.seed,
        start,
        folder.checkpoint("distil"),
        report,
        job.micro_batches,
    )
    save_adapter(adapted, folder.adapter_weights)
    export_adapter(adapted, folder.adapter)
    if job.distil.trains != "adapter":
        save_projector(projector, folder.distilled)
    return record_of(run)


def _samples_of(
    job: AdaptJob, projector: CifProjector, report: Report
) -> tuple[Judge, list[DistillationSample]]:
    torch.set_num_threads(job.threads)
    judge = Judge.for_job(job)
    parent = read_generation(job.generations / f"{job.parent:04d}")
    recogniser = RoundFolder(job.folder).serving_recogniser(parent)
    return judge, make_distillation_samples(
        judge, recogniser, job.distillation_examples, projector.config.stack, report
    )


def make_distillation_samples(
    judge: Judge,
    recogniser: Path | None,
    examples: Sequence[Example],
    stack: int,
    report: Report,
) -> list[DistillationSample]:
    """Two distillation samples of each example, heard by `recogniser`, that can be trained on: one
    to answer it, and one with another of the INSTRUCTIONS in turn.

    They have no first-pass transcripts, as in a projector pass that is sure. Teacher targets that
    were made before are read from the folder of features.
    """
    report("lessons", 0.0, f"of {len(examples)} utterances")
    path = judge.engines.language_model
    about = f"{sha256_of(path)} {judge.system_prompt}"
    maker = DistillationSampleMaker(
        judge.vocabulary,
        judge.language_model,
        lambda: load_language_model(path),
        about,
        judge.features / "lessons",
    )
    features = judge.heard_by(recogniser)
    made: list[DistillationSample] = []
    for index, example in enumerate(examples):
        sample = make_sample(
            features.frames(example), example.text, "", judge.vocabulary, stack, example.weight
        )
        if sample is not None:
            other = INSTRUCTIONS[1 + index % (len(INSTRUCTIONS) - 1)]
            made += maker.make(sample, example.text, [INSTRUCTIONS[0], other])
        report("lessons", (index + 1) / len(examples), f"{len(made)} samples")
    return made


def distil(
    projector: CifProjector,
    judge: Judge,
    samples: list[DistillationSample],
    recipe: DistilRecipe,
    seed: int,
    start: Path | None,
    checkpoint: Path | None,
    report: Report,
    micro_batches: int = 1,
) -> tuple[PeftModel, Run]:
    """Train `projector` in place, and an adapter, new or from the folder `start`, on `samples`.

    Goes on from `checkpoint` where that file exists. Raises AttuneError where training diverges or
    `start` cannot be read.
    """
    report("distil", 0.0, "opening the language model")
    language_model = load_language_model(judge.engines.language_model)
    adapted = (
        load_adapter(language_model, start, trained=True)
        if start
        else add_adapter(language_model, recipe.rank)
    )
    if recipe.trains == "adapter":
        projector.requires_grad_(False)
    if recipe.trains == "projector":
        adapted.requires_grad_(False)
    distillation = Distillation(
        EmbedLink(projector, judge.vocabulary, tokens_of(samples)), adapted, recipe.loss_weights
    )
    schedule = Schedule(
        10**9,
        recipe.seconds,
        recipe.learning_rate,
        WARMUP_STEPS,
        seed,
        l2_sp_weight=PERSONAL_L2_SP_WEIGHT,
        micro_batches=micro_batches,
    )
    run = Run()
    for run in fit(
        distillation, draw_epochs(samples, DISTILLED_PER_STEP, seed), schedule, checkpoint
    ):
        report("distil", fraction(run, schedule), describe(run, LOSS_WEIGHTS))
    set_speech(adapted, None)
    return adapted, run
