"""The first stage of a round: every recording heard once, so that no later stage opens encoder or decoder. Loads no torch."""

from engines.errors import AttuneError
from engines.job import AdaptJob, Report

from .features import Features
from .round_folder import StageRecord


def hear(job: AdaptJob, report: Report) -> StageRecord:
    """Frames and drafts of all examples, and what the cascade hears in those that are judged. One that cannot be read is told."""
    features = Features(job.engines, job.features, job.threads)
    everything = [*job.examples, *job.general]
    judged = {example.id for example in everything if example.holdout} | {example.id for example in job.general}
    report("hear", 0.0, f"{len(everything)} utterances")
    for index, example in enumerate(everything, 1):
        try:
            features.draft(example)
            features.frames(example)
            if example.id in judged:
                features.transcript(example)
        except AttuneError as error:
            report("hear", index / len(everything), f"left out: {error}")
            continue
        report("hear", index / len(everything), f"{index} of {len(everything)} utterances")
    return StageRecord()
