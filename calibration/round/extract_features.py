"""The first stage of a round: reads every recording by the recogniser of generation 0, which no
user's label ever trained, and finds the labels that are doubted. Loads no torch."""

from engines.audio.recordings import read_audio
from engines.errors import AttuneError
from engines.jobs.messages import AdaptJob, Report
from engines.whisper.encoder import MAX_SECONDS

from ..training.features import Features
from .base import base_recogniser, has_base_projector
from .compare_labels import doubt_labels
from .folder import StageRecord


def extract_features(job: AdaptJob, report: Report) -> StageRecord:
    """Compute the frames and first-pass transcripts of all examples, where a projector needs them,
    and the transcripts by Whisper as it came of those that are judged; and find the labels that are
    doubted.

    A recording that cannot be read is reported and left out. Raises RoundRefusedError where the
    labels do not fit their recordings.
    """
    base = Features(job.engines, job.features, job.threads, base_recogniser(job))
    whisper = Features(job.engines, job.features, job.threads, None)
    everything = [*job.examples, *job.general]
    judged = {example.id for example in job.judged}
    frames_are_used = job.trains_projector or has_base_projector(job)
    report("hear", 0.0, f"{len(everything)} utterances")
    for index, example in enumerate(everything, 1):
        try:
            if frames_are_used:
                base.first_pass(example)
                base.frames(example)
            else:
                read_audio(example.audio, MAX_SECONDS)  # one that cannot be read is told here
            if example.id in judged:
                whisper.transcript(example)
        except AttuneError as error:
            report("hear", index / len(everything), f"left out: {error}")
            continue
        report("hear", index / len(everything), f"{index} of {len(everything)} utterances")
    # The engines are closed before the base projector is opened: the peak is of one of the two.
    del base, whisper
    doubt_labels(
        job, Features(job.engines, job.features, job.threads, base_recogniser(job)), report
    )
    return StageRecord()
