"""`attune bench quality`: the papers' designs trained on the same recordings, and judged.

Each design learns in a process of its own, so that its peak memory is its own. Its time counts from
the first frame that is encoded, without the time of judging. Word error is the design's own: of
each soft token's nearest row, or, end to end, of what the language model says when it is asked to
repeat what it was told, which is the task that it was trained on.
"""

import multiprocessing
import os
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import torch

from engines.audio.recordings import read_audio
from engines.device.memory import peak_resident_bytes
from engines.errors import AttuneError
from engines.files import write_atomically
from engines.generations.folder import read_generation
from engines.jobs.bench_figures import CurvePoint, DesignRun, QualityFigures, SetScores
from engines.jobs.bench_jobs import BenchQualityJob
from engines.jobs.child_process import PARENT_VARIABLE, settle_as_child
from engines.jobs.messages import Example, Report
from engines.llm.vocabulary import Vocabulary
from engines.types import Transcript
from engines.whisper.encoder import MAX_SECONDS

from ..evaluation.judge import Judge
from ..evaluation.text_scores import word_error_rate
from ..provenance import describe_machine
from ..training.batches import draw_epochs
from ..training.checkpoint import Run
from ..training.features import Features
from ..training.loop import Schedule, fit, fraction
from ..training.samples import Sample, make_sample
from .designs import Design, make_design
from .judged_sets import Replies, judge_set, read_set, with_replies
from .picture import draw_quality

LOG = "heard.jsonl"
JUDGED_AT_SECONDS = (
    5,
    10,
    15,
    20,
    25,
    30,
    37,
    45,
    60,
    90,
    120,
    180,
    240,
    360,
    480,
    720,
    960,
    1440,
    1920,
    2880,
    3840,
    5760,
    7680,
)
"""The seconds of training at which a design is judged; closer together where most is learnt."""


def bench_quality(job: BenchQualityJob, report: Report) -> int:
    """Run `job`; returns the number of designs. Raises AttuneError where a manifest or a design
    cannot be used."""
    (job.folder / LOG).unlink(missing_ok=True)
    runs: list[DesignRun] = []
    report("judge", 0.0, "cascade")
    scores, expected = _judge_cascade(job)
    os.environ[PARENT_VARIABLE] = str(os.getpid())
    for number, (name, minutes) in enumerate(job.designs.items()):
        report("train", number / len(job.designs), f"{name}: {minutes:g} minutes")
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), settle_as_child) as apart:
            run, of_design = apart.submit(_run_design, job, name, expected).result()
        runs.append(run)
        scores += of_design
    figures = QualityFigures(designs=runs, heard=scores, machine=describe_machine())
    write_atomically(job.folder / "figures.json", figures.model_dump_json(indent=1).encode())
    draw_quality(figures, job.folder / "picture.svg")
    return len(runs)


def _run_design(
    job: BenchQualityJob, name: str, expected: Replies
) -> tuple[DesignRun, list[SetScores]]:
    """Train one design from the audio on, judging it from time to time; then judge it on all sets,
    and its replies."""
    torch.set_num_threads(job.threads)
    torch.manual_seed(job.seed)
    vocabulary = Vocabulary(job.engines.language_model)
    judge = Judge.for_job(job)
    features = judge.heard_by(read_generation(job.base).recogniser)
    sets = [read_set(path) for path in job.judge]
    enrolled = read_set(job.enrol).examples
    began = time.monotonic()
    encoder = features.opened.encoder
    texts = [example.text for example in enrolled]
    design = make_design(
        name, encoder.frame_width, vocabulary, job.engines.language_model, job.base, texts
    )
    learnt = [
        sample
        for example in enrolled
        if (sample := _fresh_sample(example, features, judge.vocabulary, design)) is not None
    ]
    features_seconds = time.monotonic() - began

    def sample_of(example: Example) -> Sample:
        first_pass = features.first_pass(example).text if design.reads_first_pass else ""
        sample = make_sample(
            features.frames(example), example.text, first_pass, vocabulary, design.stack
        )
        if sample is None:
            raise AttuneError(f"{example.audio} is too short for its text; leave it out")
        return sample

    def error() -> float:
        few = sets[0].examples[: job.judged_utterances]
        words = design.transcribe([sample_of(example) for example in few])
        return word_error_rate(
            [(example.text, text) for example, text in zip(few, words, strict=True)]
        )[0]

    curve, step_seconds = _learn(job, design, learnt, features_seconds, error)
    peak_bytes = peak_resident_bytes()
    scores = []
    for judged in sets:
        judged_samples = [sample_of(example) for example in judged.examples]
        heard = [Transcript(text) for text in design.transcribe(judged_samples)]
        one = judge_set(judged, name, heard, vocabulary, None, job.folder / LOG)
        replied = design.soft(judged_samples[: job.reply_utterances])
        scores.append(with_replies(one, judge, judged, replied, expected))
    described = DesignRun(
        design=name,
        features_seconds=features_seconds,
        step_seconds=step_seconds,
        peak_bytes=peak_bytes,
        parameters=sum(value.numel() for value in design.learner.projector.parameters()),
        curve=curve,
    )
    return described, scores


def _fresh_sample(
    example: Example, features: Features, vocabulary: Vocabulary, design: Design
) -> Sample | None:
    """A sample that is encoded now, even where the cache has it, because the time counts."""
    recogniser = features.opened
    frames = recogniser.encoder.encode(read_audio(example.audio, MAX_SECONDS))
    first_pass = recogniser.decoder.decode(frames).text if design.reads_first_pass else ""
    return make_sample(frames, example.text, first_pass, vocabulary, design.stack)


def _learn(
    job: BenchQualityJob,
    design: Design,
    learnt: list[Sample],
    features_seconds: float,
    error: Callable[[], float],
) -> tuple[list[CurvePoint], float]:
    """Train to the end of the time, judging at JUDGED_AT_SECONDS and at the end; returns the curve,
    and the seconds of a step."""
    schedule = Schedule(10**9, 60 * job.designs[design.name], design.learning_rate, seed=job.seed)
    run, points = (
        Run(),
        [CurvePoint(seconds=features_seconds, step=0, loss=0.0, word_error_rate=error())],
    )
    seconds, due = 0.0, list(JUDGED_AT_SECONDS)
    steps = fit(design.learner, draw_epochs(learnt, design.batch, job.seed), schedule, None)
    began = time.monotonic()
    for run in steps:
        seconds += time.monotonic() - began
        if (due and seconds >= due[0]) or fraction(run, schedule) >= 1:
            due = [later for later in due if later > seconds]
            design.learner.eval()
            loss = _recent_loss(design, run)
            points.append(
                CurvePoint(
                    seconds=features_seconds + seconds,
                    step=run.step,
                    loss=loss,
                    word_error_rate=error(),
                )
            )
            design.learner.train()
        began = time.monotonic()
    return points, seconds / max(run.step, 1)


def _recent_loss(design: Design, run: Run) -> float:
    weights = design.learner.loss_weights
    return float(
        np.mean(
            [
                sum(weights[name] * value for name, value in losses.items())
                for losses in run.losses[-10:]
            ]
        )
    )


def _judge_cascade(job: BenchQualityJob) -> tuple[list[SetScores], Replies]:
    """The scores of the cascade on every set, and the replies to the true texts."""
    judge = Judge.for_job(job)
    recognise = judge.cascade(None)
    scores: list[SetScores] = []
    expected: Replies = {}
    for path in job.judge:
        judged = read_set(path)
        expected |= {
            example.text: judge.reply_pieces(example.text)
            for example in judged.examples[: job.reply_utterances]
        }
        words = [recognise(example) for example in judged.examples]
        one = judge_set(judged, "cascade", words, judge.vocabulary, None, job.folder / LOG)
        scores.append(with_replies(one, judge, judged, words[: job.reply_utterances], expected))
    judge.close_language_model()
    return scores, expected
