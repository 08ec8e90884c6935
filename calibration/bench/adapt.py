"""`attune bench adapt`: personal rounds from more and more enrolment, judged on given sets.

Each round is the job that the daemon would run, in a process of its own, so it takes the same
memory and time as there.
"""

import random
import shutil
from pathlib import Path

from engines.audio.recordings import read_audio
from engines.files import write_atomically
from engines.generations.folder import BASE, Generation, read_generation
from engines.jobs.bench_figures import AdaptFigures, PersonalRound, ServingCost, SetScores
from engines.jobs.bench_jobs import BenchAdaptJob
from engines.jobs.messages import AdaptJob, EngineFiles, Example, Report
from engines.types import FRAME_SECONDS
from engines.whisper.encoder import MAX_SECONDS, encoder_mel
from engines.whisper.encoder_onnx import OnnxEncoder
from engines.whisper.transcriber import WhisperTranscriber

from ..evaluation.judge import Judge, Recognise
from ..provenance import describe_machine
from ..round.process import run_apart
from .judged_sets import JudgedSet, first_minutes, judge_set, read_set
from .picture import draw_adapt
from .serving_cost import Hearing, serving_cost

HOLDOUT = 8
"""One enrolled utterance in so many is held out, as in the daemon."""
COSTED = 12
"""The utterances of the first set that time and memory of hearing are measured on."""


def bench_adapt(job: BenchAdaptJob, report: Report) -> int:
    """Run `job`; returns the number of rounds. Raises AttuneError where a manifest cannot be used
    or a round fails."""
    judge = Judge(job.engines, job.features, job.system_prompt, job.threads, reply_tokens=1)
    enrolled = read_set(job.enrol).examples
    random.Random(job.seed).shuffle(enrolled)
    sets = [read_set(path) for path in job.judge]
    general = (
        read_set(job.general, "general")
        if job.general
        else JudgedSet("general", job.general_examples)
    )
    generations = job.folder / "generations"
    shutil.rmtree(generations, ignore_errors=True)
    shutil.copytree(job.base, generations / f"{BASE:04d}")
    log = job.folder / "heard.jsonl"
    log.unlink(missing_ok=True)
    scores: list[SetScores] = []
    rounds: list[PersonalRound] = []
    costs: list[ServingCost] = []

    mel_bins = OnnxEncoder(job.engines.encoder, 1).mel_bins

    def seconds_of(example: Example) -> float:
        """The seconds that the encoder reads."""
        columns: int = encoder_mel(read_audio(example.audio, MAX_SECONDS), mel_bins).shape[1]
        return columns // 2 * FRAME_SECONDS

    def judge_aligned(hearer: str, generation: Generation) -> None:
        confidence = generation.card.confidence
        recognise = judge.aligned(judge.serving_decoder(generation), generation.recogniser)
        judge_all(hearer, recognise, confidence.threshold if confidence else None)

    def judge_all(hearer: str, recognise: Recognise, threshold: float | None = None) -> None:
        for judged in (*sets, general):
            report(f"{hearer}: {judged.name}", 0.0, f"{len(judged.examples)} utterances")
            everything = [recognise(example) for example in judged.examples]
            scores.append(judge_set(judged, hearer, everything, judge.vocabulary, threshold, log))

    def cost(
        hearer: str,
        generation: Generation | None,
        route: Hearing,
        engines: EngineFiles = job.engines,
    ) -> None:
        folder = generation.folder if generation is not None else None
        report(f"{hearer}: cost", 0.0, "")
        few = [example.audio for example in sets[0].examples[:COSTED]]
        costs.append(serving_cost(hearer, engines, folder, route, few, job.threads))

    judge_all("cascade", judge.cascade(None))
    cost("cascade", None, "cascade")
    for name, whisper in job.others.items():
        judge_all(name, _as_it_came(whisper, job.threads))
        other = job.engines.model_copy(update={"encoder_weights": whisper})
        cost(name, None, "cascade", other)
    judge_aligned("base", read_generation(generations / f"{BASE:04d}"))
    for number, minutes in enumerate(job.minutes, 1):
        examples = first_minutes(enrolled, minutes, seconds_of)
        generation = _round(job, number, examples, general.examples, report, f"{minutes:g} minutes")
        card = generation.card
        rounds.append(
            PersonalRound(
                minutes=sum(map(seconds_of, examples)) / 60,
                utterances=len(examples),
                steps=card.steps,
                processor_seconds=card.processor_seconds or 0.0,
                wall_seconds=card.wall_seconds,
                round_processor_seconds=sum(card.stage_processor_seconds.values()) / job.threads,
                peak_bytes=card.peak_bytes,
            )
        )
        judge_aligned(f"{minutes:g} min", generation)
        cost(f"{minutes:g} min", generation, "aligned")
        if generation.recogniser is not None:
            name = f"{minutes:g} min, recogniser"
            sure = card.transcript_confidence
            heard = judge.cascade(generation.recogniser, sure)
            judge_all(name, heard, sure.threshold if sure else None)
            cost(name, generation, "cascade")
    figures = AdaptFigures(rounds=rounds, heard=scores, costs=costs, machine=describe_machine())
    write_atomically(job.folder / "figures.json", figures.model_dump_json(indent=1).encode())
    draw_adapt(figures, job.folder / "picture.svg")
    return len(rounds)


def _as_it_came(whisper: Path, threads: int) -> Recognise:
    """The cascade through the Whisper model of a folder, told that English is spoken."""
    transcriber = WhisperTranscriber(whisper, threads, language="en")
    return lambda example: transcriber.transcribe(read_audio(example.audio, MAX_SECONDS))


def _round(
    job: BenchAdaptJob,
    number: int,
    examples: list[Example],
    general: list[Example],
    report: Report,
    name: str,
) -> Generation:
    folder = job.folder / "rounds" / f"{number:04d}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    personal = AdaptJob(
        folder=folder,
        generations=job.folder / "generations",
        number=number,
        parent=BASE,
        engines=job.engines,
        features=job.features,
        examples=[
            example.model_copy(update={"holdout": index % HOLDOUT == HOLDOUT - 1})
            for index, example in enumerate(examples)
        ],
        general=general,
        system_prompt=job.system_prompt,
        training_seconds=job.training_seconds,
        learning_rate=job.learning_rate,
        recogniser=job.recogniser,
        reply_utterances=0,
        threads=job.threads,
        seed=job.seed,
    )
    return run_apart(personal, name, report)
