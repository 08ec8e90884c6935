"""The first stage of a round: encodes and decodes every recording once, so that no later stage
opens encoder or transcriber. Loads no torch."""

from engines.errors import AttuneError
from engines.jobs.messages import AdaptJob, Report

from ..corpus.replay import encode_replay
from ..training.features import Features
from .compare_labels import doubt_labels
from .folder import StageRecord


def extract_features(job: AdaptJob, report: Report) -> StageRecord:
    """Compute the frames and first-pass transcripts of all examples and the cascade's transcripts
    of those that are judged, those of the replay set where they are not there; and find the labels
    that are doubted.

    A recording that cannot be read is reported and left out. Raises RoundRefusedError where the
    labels do not fit their recordings.
    """
    features = Features(job.engines, job.features, job.threads)
    everything = [*job.examples, *job.general]
    judged = {example.id for example in everything if example.holdout} | {
        example.id for example in job.general
    }
    report("hear", 0.0, f"{len(everything)} utterances")
    for index, example in enumerate(everything, 1):
        try:
            features.first_pass(example)
            features.frames(example)
            if example.id in judged:
                features.transcript(example)
                for piece in features.pieces(example):
                    piece.first_pass()
        except AttuneError as error:
            report("hear", index / len(everything), f"left out: {error}")
            continue
        report("hear", index / len(everything), f"{index} of {len(everything)} utterances")
    # encoder and decoder are closed before the base is opened: the peak is that of one of the two
    del features
    encode_replay(
        job.features,
        job.engines,
        job.threads,
        lambda done, of: report("hear", done / of, f"{done} of {of} parts of the replay set"),
    )
    doubt_labels(job, Features(job.engines, job.features, job.threads), report)
    return StageRecord()
