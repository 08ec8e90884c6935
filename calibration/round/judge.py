"""The last stage of a round: judges the candidate through the engines that serve, and writes it as
a generation. Loads no torch."""

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import reduce
from operator import or_
from pathlib import Path
from time import process_time

from engines.device.memory import peak_resident_bytes
from engines.files import sha256_of
from engines.generations.card import MOST_DOUBTED, Card
from engines.generations.folder import (
    BASE,
    RECOGNISER,
    Generation,
    read_generation,
    write_generation,
)
from engines.jobs.messages import AdaptJob, Report

from ..corpus.replay import read_encoded_replay
from ..evaluation.fit_transcripts import Transcribed, fit_transcript_confidence
from ..evaluation.judge import Judge
from ..evaluation.text_scores import normalise
from ..provenance import versions
from .folder import RoundFolder, StageRecord
from .judged_projector import JudgedProjector, judge_trained, kept
from .panel import Panel, Steps, calibrated

CALIBRATED_REPLAYED = 120
"""The most sentences of the replay set that the confidence in transcripts is fitted to."""


def judge(job: AdaptJob, report: Report) -> StageRecord:
    """Judge the candidate that the stages before made, and write the generation. Raises AttuneError
    where an engine or the parent fails."""
    began = process_time()
    folder = RoundFolder(job.folder)
    given = [example.id for example in job.examples]
    # A label that has no words after normalisation ("Um.") would only count added words as errors.
    examples = [
        example for example in job.examples if not example.holdout or normalise(example.text)
    ]
    job = job.model_copy(update={"examples": examples})
    parent = read_generation(job.generations / f"{job.parent:04d}")
    training = job.learnt
    judge = Judge.for_job(job)
    steps = Steps(job, report)
    report("judge", 0.0, "opening the engines")
    panel = Panel(job, judge, steps)
    recogniser = folder.serving_recogniser(parent)
    if parent.projector is None:
        projector = None
    elif job.trains_projector:
        projector = judge_trained(job, judge, parent, recogniser, panel, steps, report)
    else:
        decoder = judge.serving_decoder(parent)
        panel.judge("current", judge.aligned(decoder, parent.recogniser), parent.adapter)
        panel.judge("candidate", judge.aligned(decoder, recogniser), parent.adapter)
        projector = kept(parent, "its training is off")
    panel.judge("cascade", judge.cascade(None), None)
    if parent.recogniser is not None:
        panel.judge("current_recogniser", judge.cascade(parent.recogniser), None)
    if recogniser is not None and recogniser == parent.recogniser:
        panel.copy("current_recogniser", "recogniser")
    elif recogniser is not None:
        panel.judge("recogniser", judge.cascade(recogniser), None)
    if projector is None:
        panel.copy("recogniser" if recogniser is not None else "cascade", "candidate")
        panel.copy("current_recogniser" if parent.recogniser is not None else "cascade", "current")
        projector = JudgedProjector(recipe="a recogniser alone")
    transcript_confidence = (
        fit_transcript_confidence(list(_transcribed(job, judge, recogniser, folder)))
        if recogniser is not None
        else None
    )
    report("judge", 1.0, "writing the generation")
    records = [folder.record(stage) for stage in ("recognise", "train", "distil")]
    done = folder.records()
    peaks = {stage: record.peak_bytes for stage, record in done.items()}
    peaks["judge"] = peak_resident_bytes()
    times = {stage: record.stage_processor_seconds for stage, record in done.items()}
    times["judge"] = process_time() - began
    card = Card(
        number=job.number,
        parent=job.parent,
        user=job.user,
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        recipe=projector.recipe,
        learnt_from=learnt_from(given, parent),
        examples_by_origin=dict(Counter(example.origin for example in training)),
        labels_left_out=job.labels_left_out,
        doubted=folder.doubted[:MOST_DOUBTED],
        trained_seconds_of_audio=round(max(one.seconds_of_audio for one in records), 2),
        processor_seconds=round(sum(record.processor_seconds for record in records), 2),
        wall_seconds=round(sum(record.wall_seconds for record in records), 2),
        steps=sum(record.steps for record in records),
        skipped_steps=sum(record.skipped_steps for record in records),
        losses=reduce(or_, (record.losses for record in records)),
        peak_bytes=max(peaks.values()),
        stage_peak_bytes=peaks,
        stage_processor_seconds={stage: round(seconds, 1) for stage, seconds in times.items()},
        seed=job.seed,
        versions=versions(),
        language_model_sha256=sha256_of(job.engines.language_model),
        encoder_sha256=sha256_of(job.engines.encoder_weights_file),
        confidence=projector.confidence,
        transcript_confidence=transcript_confidence,
        requests=projector.requests,
        replies=projector.replies,
        projector_left_out=projector.left_out,
        recogniser_share=folder.chosen.share,
        recogniser_left_out=folder.chosen.left_out,
        **panel.judgements(),
    )
    files = dict(projector.files)
    if recogniser is not None:
        files[RECOGNISER] = recogniser
    write_generation(job.generations, job.number, card, files)
    return StageRecord()


def learnt_from(given: Sequence[str], parent: Generation) -> tuple[str, ...] | None:
    """The utterances that a generation has learnt from which was trained from `parent`, and trained
    on or judged by the utterances `given`; None where nobody knows what `parent` has learnt from.
    The base has learnt from no user."""
    before = () if parent.number == BASE else parent.card.learnt_from
    return None if before is None else tuple(sorted({*before, *given}))


def _transcribed(
    job: AdaptJob, judge: Judge, recogniser: Path, folder: RoundFolder
) -> Iterator[Transcribed]:
    """What the confidence in the transcripts of `recogniser` is fitted to: what that of the
    readings is, and sentences of the replay set, whose atypical voices are misheard more often."""
    features = judge.heard_by(recogniser)
    for example, own in calibrated(job):
        yield Transcribed(example.text, features.transcript(example), own)
    for one in read_encoded_replay(job.features, folder.replay)[:CALIBRATED_REPLAYED]:
        yield Transcribed(one.row.text, one.first_pass, own=False)
