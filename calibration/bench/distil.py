"""`attune bench distil`: what distillation is worth, and each of its parts.

One generation is distilled by several recipes on one speaker's enrolment. Replies to the judged
sets are compared with the replies to their true texts. The language model reads what that
generation serves, its projector's vectors, and expected embeddings (`blends` in the figures), as
they are and through each adapter.
"""

import random
import time
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from engines.alignment.decoder import AlignedDecoder
from engines.files import write_atomically
from engines.generations.folder import projector_of, read_generation
from engines.jobs.bench_figures import DistilFigures, DistilRun, SetScores
from engines.jobs.bench_jobs import BenchDistilJob
from engines.jobs.messages import DistilRecipe, Example, Report
from engines.types import SoftTokens

from ..distillation.losses import DistillationSample
from ..distillation.partial_lora import export_adapter
from ..evaluation.judge import Judge, Recognise
from ..export.projector import export_projector
from ..export.projector_file import load_projector
from ..provenance import describe_machine
from ..round.distil import distil, make_distillation_samples
from ..training.loop import tail_means
from .judged_sets import Replies, judge_set, read_set, with_replies


@dataclass(frozen=True)
class _Distilled:
    run: DistilRun
    decoder: AlignedDecoder
    """The decoder of the distilled projector, which gives expected embeddings."""
    adapter: Path
    """The adapter for replies to these expected embeddings."""


def bench_distil(job: BenchDistilJob, report: Report) -> int:
    """Run `job`; returns the number of recipes. Raises AttuneError where a manifest or the
    generation cannot be used."""
    torch.set_num_threads(job.threads)
    judge = Judge.for_job(job)
    generation = read_generation(job.base)
    recogniser = generation.recogniser
    enrolled = read_set(job.enrol).examples
    random.Random(job.seed).shuffle(enrolled)
    learnt = enrolled[: job.learnt_utterances]
    sets = [judged.first(job.reply_utterances) for judged in map(read_set, job.judge)]
    log = job.folder / "heard.jsonl"
    log.unlink(missing_ok=True)
    expected: Replies = {
        example.text: judge.reply_pieces(example.text)
        for judged in sets
        for example in judged.examples
    }
    scores: list[SetScores] = []

    def judge_all(name: str, recognise: Recognise, adapter: Path | None = None) -> None:
        for judged in sets:
            report("judge", 0.0, f"{name}: {judged.name}")
            words = [recognise(example) for example in judged.examples]
            one = judge_set(judged, name, words, judge.vocabulary, None, log)
            scores.append(with_replies(one, judge, judged, words, expected, adapter))

    graph, weights = projector_of(generation)
    decoder = judge.decoder(graph, generation.card.confidence, generation.card.requests)
    judge_all("cascade", judge.cascade(recogniser))
    judge_all("rows, as served", judge.aligned(decoder, recogniser))
    judge_all("vectors", _vectors(judge, decoder, recogniser))
    judge_all("blends", judge.aligned(replace(decoder, output="expected_embeddings"), recogniser))
    began = time.monotonic()
    config = load_projector(weights).config
    samples = make_distillation_samples(judge, recogniser, learnt, config.stack, report)
    samples_seconds = time.monotonic() - began
    runs = []
    for name, recipe in job.recipes.items():
        distilled = _distil(job, judge, name, recipe, samples, report)
        runs.append(distilled.run)
        judge_all(
            f"blends, {name}", judge.aligned(distilled.decoder, recogniser), distilled.adapter
        )
    figures = DistilFigures(
        lessons=len(samples),
        lessons_seconds=samples_seconds,
        runs=runs,
        heard=scores,
        machine=describe_machine(),
    )
    write_atomically(job.folder / "figures.json", figures.model_dump_json(indent=1).encode())
    return len(runs)


def _distil(
    job: BenchDistilJob,
    judge: Judge,
    name: str,
    recipe: DistilRecipe,
    samples: list[DistillationSample],
    report: Report,
) -> _Distilled:
    """Distil the generation by one recipe."""
    generation = read_generation(job.base)
    _, weights = projector_of(generation)
    projector = load_projector(weights)
    projector.keys.requires_grad_(False)
    folder = job.folder / name.replace(" ", "-")
    folder.mkdir(exist_ok=True)

    def told(stage: str, fraction: float, note: str) -> None:
        report(f"{name}: {stage}", fraction, note)

    adapted, run = distil(
        projector, judge, samples, recipe, job.seed, generation.adapter_weights, None, told
    )
    export_projector(projector, folder / "projector.onnx")
    export_adapter(adapted, folder / "adapter.gguf")
    described = DistilRun(
        recipe=name,
        steps=run.step,
        processor_seconds=run.processor_seconds,
        wall_seconds=run.seconds,
        losses=tail_means(run),
    )
    card = generation.card
    decoder = judge.decoder(
        folder / "projector.onnx", card.confidence, card.requests, output="expected_embeddings"
    )
    return _Distilled(described, decoder, folder / "adapter.gguf")


def _vectors(judge: Judge, decoder: AlignedDecoder, recogniser: Path | None) -> Recognise:
    """What gives the projector's own vectors, as the papers' language models read them."""
    features = judge.heard_by(recogniser)

    def recognise(example: Example) -> SoftTokens:
        units = decoder.projector.project(features.frames(example), decoder.head.rows_and_keys([]))
        return SoftTokens(units.vectors[:, : judge.vocabulary.width], units.quantity)

    return recognise
