"""The stage of a round that reads recordings by the recogniser that the candidate serves with: the
projector trains on its frames, and no later stage opens it. Loads no torch."""

from contextlib import suppress
from functools import partial

from engines.errors import AttuneError
from engines.generations.folder import read_generation
from engines.jobs.messages import AdaptJob, Example, Report
from engines.whisper.recogniser import Recogniser

from ..corpus.replay import encode_replay
from ..training.features import Features
from .folder import RoundFolder, StageRecord
from .unlike import split_unlike


def encode(job: AdaptJob, report: Report) -> StageRecord:
    """Compute the frames of what a projector learns, and of the replay set, by the candidate's
    recogniser; all that the examples unlike those need, by which the confidence is fitted; and by
    it and by the parent's, where that is another, all that the judged examples are judged by.

    A recording that cannot be read is left out. Raises AttuneError where an engine or the parent
    fails, or the replay set is damaged.
    """

    def tell_shards(done: int, shards: int) -> None:
        report("encode", done / shards, f"{done} of {shards} parts of the replay set")

    folder = RoundFolder(job.folder)
    parent = read_generation(job.generations / f"{job.parent:04d}")
    recogniser = folder.serving_recogniser(parent)
    learnt, unlike = split_unlike(job.learnt)
    work = {recogniser: [(example, False) for example in learnt if job.trains_projector]}
    work[recogniser] += [(example, True) for example in unlike]
    for path in (recogniser, parent.recogniser):
        work.setdefault(path, []).extend((example, True) for example in job.judged)
    done, to_do = 0, sum(map(len, work.values()))
    for path, examples in work.items():
        features = Features(job.engines, job.features, job.threads, path)
        for example, judged in examples:
            with suppress(AttuneError):  # it was reported when it was first read
                _compute(features, example, judged=judged, aligned=parent.projector is not None)
            done += 1
            report("encode", done / to_do, f"{done} of {to_do} utterances")
        if path == recogniser:
            encode_replay(job.features, folder.replay, partial(_opened, features), tell_shards)
    return StageRecord()


def _compute(features: Features, example: Example, *, judged: bool, aligned: bool) -> None:
    """Compute what the cascade is `judged` by, and what the `aligned` route needs."""
    if judged:
        features.transcript(example)
    if aligned:
        features.frames(example)
        for piece in features.pieces(example) if judged else ():
            piece.first_pass()


def _opened(features: Features) -> Recogniser:
    return features.opened
