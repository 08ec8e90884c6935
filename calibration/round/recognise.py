"""The stage of a round that trains the personal recogniser: Whisper's own weights, by low-rank
changes, on the user's utterances and on replayed ones."""

import torch

from engines.audio.recordings import read_audio
from engines.errors import AttuneError
from engines.files import sha256_of
from engines.generations.folder import read_generation
from engines.jobs.footprints import (
    LONGEST_LEARNT_SECONDS,
    OWN_PER_STEP,
    RECOGNISE_MICRO_BATCHES,
    REPLAYED_PER_STEP,
)
from engines.jobs.messages import AdaptJob, Report
from engines.types import SAMPLE_RATE_HZ
from engines.whisper.encoder import encoder_mel
from engines.whisper.recogniser_weights import write_recogniser

from ..corpus.replay import read_replay
from ..recogniser.learner import RecogniserLearner
from ..recogniser.lora import add_lora, weights_of
from ..recogniser.samples import Labels, SpokenSample
from ..recogniser.start import start_of
from ..recogniser.whisper_model import TrimmedEncoder, load_whisper, silent_tail
from ..training.batches import draw_beside
from ..training.checkpoint import Run
from ..training.loop import Schedule, describe, fit, fraction
from .folder import RoundFolder, StageRecord
from .trained import record_of
from .unlike import split_unlike

PASSES = 2
"""How often each utterance is seen at most. From the base recogniser, forty steps teach a voice;
with more, only the learnt sentences still get better (docs/experiments/037)."""
LEAST_STEPS = 40
L2_SP_WEIGHT = 20.0
"""Weight of L2-SP. Without it the real voice loses two points of word error for some speakers
(docs/experiments/037)."""


def train_recogniser(job: AdaptJob, report: Report) -> StageRecord:
    """Train what `start_of` gives, or Whisper where that is nothing, going on from a checkpoint
    where there is one. Utterances that `split_unlike` names are left out.

    Nothing is trained, or written, where no utterance is short enough. Raises AttuneError where the
    parent is damaged, or training diverges.
    """
    assert job.recogniser is not None
    torch.set_num_threads(job.threads)
    folder = RoundFolder(job.folder)
    report("recognise", 0.0, "opening the recogniser")
    parent = read_generation(job.generations / f"{job.parent:04d}")
    start = start_of(parent, job.engines.encoder_weights_file)
    whisper = load_whisper(job.engines.encoder_weights_file)
    labels = Labels(job.engines.encoder_weights, job.engines.language)
    samples, seconds = _samples(job, labels, whisper.config.num_mel_bins)
    if not samples:
        report("recognise", 1.0, f"no utterance is at most {LONGEST_LEARNT_SECONDS:g} s long")
        return StageRecord()
    replay = [
        sample
        for utterance in read_replay(job.features)
        if (sample := labels.sample(utterance.log_mel, utterance.row.text)) is not None
    ]
    torch.manual_seed(job.seed)
    tail = start.silent_tail if start else silent_tail(TrimmedEncoder(whisper.encoder))
    learner = RecogniserLearner(add_lora(whisper, start, job.recogniser.rank), tail)
    schedule = Schedule(
        max(LEAST_STEPS, PASSES * len(samples) // OWN_PER_STEP),
        job.recogniser.seconds,
        job.recogniser.learning_rate,
        seed=job.seed,
        l2_sp_weight=L2_SP_WEIGHT,
        micro_batches=max(job.micro_batches, RECOGNISE_MICRO_BATCHES),
    )
    draw = draw_beside(samples, OWN_PER_STEP, replay, REPLAYED_PER_STEP, job.seed)
    run = Run()
    for run in fit(learner, draw, schedule, folder.checkpoint("recognise")):
        report("recognise", fraction(run, schedule), describe(run, ("tokens",)))
    sha256 = sha256_of(job.engines.encoder_weights_file)
    write_recogniser(weights_of(learner.adapted, tail, sha256), folder.trained_recogniser)
    return record_of(run, seconds)


def _samples(job: AdaptJob, labels: Labels, mel_bins: int) -> tuple[list[SpokenSample], float]:
    """The samples that can be trained on, and their length in seconds."""
    learnt, _ = split_unlike(job.learnt)
    samples, seconds = [], 0.0
    for example in learnt:
        try:
            spoken = read_audio(example.audio, LONGEST_LEARNT_SECONDS)
        except AttuneError:
            continue  # it was reported when its features were extracted, or is too long
        sample = labels.sample(encoder_mel(spoken, mel_bins), example.text, example.weight)
        if sample is not None:
            samples.append(sample)
            seconds += len(spoken) / SAMPLE_RATE_HZ
    return samples, seconds
