"""The second stage of a round: trains EmbedLink on the user's utterances and on replayed ones."""

from pathlib import Path

import torch

from engines.errors import AttuneError
from engines.generations.folder import Generation, projector_of, read_generation
from engines.jobs.footprints import OWN_PER_STEP, REPLAYED_PER_STEP
from engines.jobs.messages import AdaptJob, Report
from engines.llm.vocabulary import Vocabulary
from engines.types import FRAME_SECONDS

from ..export.projector_file import load_projector, save_projector
from ..projector.cif import CifConfig
from ..projector.embedlink import EmbedLink
from ..projector.start import SHIPPED
from ..training.batches import draw_beside
from ..training.checkpoint import Run
from ..training.features import Features
from ..training.loop import PERSONAL_L2_SP_WEIGHT, Schedule, describe, fit, fraction
from ..training.replay import load_replay
from ..training.samples import Sample, make_sample, tokens_of
from .base import base_recogniser
from .folder import RoundFolder, StageRecord
from .trained import record_of
from .unlike import split_unlike

PASSES = 5
"""How often each utterance is seen at most: more passes learn the recordings, not the voice."""
LEAST_STEPS = 150


def train(job: AdaptJob, report: Report) -> StageRecord:
    """Train the parent's projector on the examples of `job`, going on from a checkpoint where there
    is one.

    Raises AttuneError where there is nothing to train on, the parent is damaged, or training
    diverges.
    """
    torch.set_num_threads(job.threads)
    folder = RoundFolder(job.folder)
    report("samples", 0.0, "opening the projector")
    parent = read_generation(job.generations / f"{job.parent:04d}")
    recogniser = folder.serving_recogniser(parent)
    projector = load_projector(_start(parent, recogniser))
    vocabulary = Vocabulary(job.engines.language_model)
    samples, seconds = _samples(job, recogniser, vocabulary, projector.config, report)
    # Pronunciation keys are the same for all speakers; only the rest of the projector adapts.
    projector.keys.requires_grad_(False)
    report("samples", 1.0, "reading what is replayed")
    replay = load_replay(job.features, folder.replay, vocabulary, projector.config.stack)
    torch.manual_seed(job.seed)
    embedlink = EmbedLink(projector, vocabulary, tokens_of(samples))
    steps = max(LEAST_STEPS, PASSES * len(samples) // OWN_PER_STEP)
    schedule = Schedule(
        steps,
        job.training_seconds,
        job.learning_rate,
        seed=job.seed,
        l2_sp_weight=PERSONAL_L2_SP_WEIGHT,
        micro_batches=job.micro_batches,
    )
    draw = draw_beside(samples, OWN_PER_STEP, replay, REPLAYED_PER_STEP, job.seed)
    run = Run()
    for run in fit(embedlink, draw, schedule, folder.checkpoint("train")):
        report("train", fraction(run, schedule), describe(run, ("contrast",)))
    save_projector(projector, folder.trained)
    return record_of(run, seconds)


def _start(parent: Generation, recogniser: Path | None) -> Path:
    """The weights to start from: the parent's, or the base's where the parent has no recogniser (it
    was made by a version that knew none) and so learnt from other frames."""
    _, weights = projector_of(parent)
    return SHIPPED if recogniser is not None and parent.recogniser is None else weights


def _samples(
    job: AdaptJob,
    recogniser: Path | None,
    vocabulary: Vocabulary,
    config: CifConfig,
    report: Report,
) -> tuple[list[Sample], float]:
    """The samples that can be trained on, and their length in seconds. Utterances that
    `split_unlike` names are left out: the confidence is fitted to them.

    Their first-pass transcripts are those of the base recogniser: the round's own knows what it
    learnt by heart, and so would hear it better than what it will serve.
    """
    training, _ = split_unlike(job.learnt)
    features = Features(job.engines, job.features, job.threads, recogniser)
    base = Features(job.engines, job.features, job.threads, base_recogniser(job))
    samples, seconds = [], 0.0
    for index, example in enumerate(training, 1):
        report("samples", index / len(training), f"{index} of {len(training)} utterances")
        try:
            frames = features.frames(example)
            first_pass = base.first_pass(example).text if config.reads_first_pass else ""
        except AttuneError:
            continue  # it was reported when its features were extracted
        sample = make_sample(
            frames, example.text, first_pass, vocabulary, config.stack, example.weight
        )
        if sample is not None:
            samples.append(sample)
            seconds += len(frames) * FRAME_SECONDS
    unusable = len(training) - len(samples)
    report("samples", 1.0, f"{len(samples)} of {len(training)} utterances can be trained on")
    if not samples:
        raise AttuneError(
            f"none of the {len(training)} labelled utterances can be trained on ({unusable}"
            " unusable); enrol some"
        )
    return samples, seconds
