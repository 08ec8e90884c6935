"""`attune bench adapt`: personal rounds from more and more enrolment, judged on given sets.

Each round is the job that the daemon would run, in a process of its own, so it takes the same
memory and time as there.
"""

import random
import shutil
from collections.abc import Sequence
from itertools import chain
from pathlib import Path

from engines.audio.recordings import read_audio
from engines.files import write_atomically
from engines.generations.folder import BASE, Generation, read_generation
from engines.jobs.bench_figures import (
    AdaptFigures,
    OwnLabels,
    PersonalRound,
    ServingCost,
    SetScores,
)
from engines.jobs.bench_jobs import BenchAdaptJob
from engines.jobs.messages import AdaptJob, EngineFiles, Example, Report
from engines.routes import weighed
from engines.types import FRAME_SECONDS, Transcript
from engines.whisper.encoder import MAX_SECONDS, encoder_mel
from engines.whisper.encoder_onnx import OnnxEncoder
from engines.whisper.phrases import Phrase, PhraseBook
from engines.whisper.transcriber import WhisperTranscriber
from engines.whisper.transcript_confidence import LABEL_CONFIDENCE

from ..evaluation.judge import Judge, Recognise
from ..evaluation.serving_cost import RouteName, serving_cost
from ..evaluation.text_scores import content_words, word_errors
from ..provenance import describe_machine
from ..round.process import run_apart
from .judged_sets import JudgedSet, first_minutes, judge_set, read_set
from .picture import draw_adapt

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
            judge_one(judged, hearer, recognise, threshold)

    def judge_one(
        judged: JudgedSet, hearer: str, recognise: Recognise, threshold: float | None
    ) -> None:
        report(f"{hearer}: {judged.name}", 0.0, f"{len(judged.examples)} utterances")
        everything = [recognise(example) for example in judged.examples]
        scores.append(judge_set(judged, hearer, everything, judge.vocabulary, threshold, log))

    def judge_with_vocabulary(hearer: str, generation: Generation) -> None:
        confidence = generation.card.transcript_confidence
        opened = judge.heard_by(generation.recogniser).opened
        said = [[example.text for example in one.examples] for one in sets]
        for judged, texts in zip((*sets, general), (*said, list(chain(*said))), strict=True):
            book = PhraseBook([Phrase(text=word) for word in content_words(texts)])

            def recognise(example: Example, book: PhraseBook = book) -> Transcript:
                samples = read_audio(example.audio, MAX_SECONDS)
                return weighed(opened.transcribe(samples, phrases=book), confidence)

            judge_one(judged, hearer, recognise, confidence.threshold if confidence else None)

    def cost(
        hearer: str,
        generation: Generation | None,
        route: RouteName,
        engines: EngineFiles = job.engines,
    ) -> None:
        folder = generation.folder if generation is not None else None
        report(f"{hearer}: cost", 0.0, "")
        few = [example.audio for example in sets[0].examples[:COSTED]]
        taken = serving_cost(engines, folder, route, few, job.threads)
        costs.append(ServingCost(hearer=hearer, seconds=taken.seconds, size_bytes=taken.size_bytes))

    judge_all("cascade", judge.cascade(None))
    cost("cascade", None, "cascade")
    for name, whisper in job.others.items():
        judge_all(name, _as_it_came(whisper, job.engines.language, job.threads))
        other = job.engines.model_copy(update={"encoder_weights": whisper})
        cost(name, None, "cascade", other)
    base = read_generation(generations / f"{BASE:04d}")
    if base.projector is not None:
        judge_aligned("base", base)
    if base.recogniser is not None:
        judge_all("base, recogniser", judge.cascade(base.recogniser))

    def measure(
        name: str,
        number: int,
        examples: list[Example],
        own_labels: OwnLabels | None = None,
    ) -> Generation:
        generation = _round(job, number, examples, general.examples, report, name)
        card = generation.card
        rounds.append(
            PersonalRound(
                name=name,
                own_labels=own_labels,
                minutes=sum(map(seconds_of, examples)) / 60,
                utterances=len(examples),
                steps=card.steps,
                processor_seconds=card.processor_seconds or 0.0,
                wall_seconds=card.wall_seconds,
                round_processor_seconds=sum(card.stage_processor_seconds.values()) / job.threads,
                peak_bytes=card.peak_bytes,
            )
        )
        if generation.projector is not None:
            judge_aligned(name, generation)
            cost(name, generation, "aligned")
        if generation.recogniser is not None:
            sure = card.transcript_confidence
            heard = judge.cascade(generation.recogniser, sure)
            judge_all(f"{name}, recogniser", heard, sure.threshold if sure else None)
            if job.vocabulary:
                judge_with_vocabulary(f"{name}, vocabulary", generation)
            cost(f"{name}, recogniser", generation, "cascade")
        return generation

    for place, minutes in enumerate(job.minutes):
        examples = _held_out(first_minutes(enrolled, minutes, seconds_of))
        generation = measure(f"{minutes:g} min", 2 * place + 1, examples)
        if job.unlabelled is not None:
            found, own_labels = _own_labels(judge, generation, read_set(job.unlabelled).examples)
            measure(
                f"{minutes:g} min, {own_labels.labelled} labels of its own",
                2 * place + 2,
                examples + found,
                own_labels,
            )
    figures = AdaptFigures(rounds=rounds, heard=scores, costs=costs, machine=describe_machine())
    write_atomically(job.folder / "figures.json", figures.model_dump_json(indent=1).encode())
    draw_adapt(figures, job.folder / "picture.svg")
    return len(rounds)


def _as_it_came(whisper: Path, language: str, threads: int) -> Recognise:
    """The cascade through the Whisper model of a folder, told which language is spoken."""
    transcriber = WhisperTranscriber(whisper, threads, language=language)
    return lambda example: transcriber.transcribe(read_audio(example.audio, MAX_SECONDS))


def _held_out(examples: Sequence[Example]) -> list[Example]:
    """The examples, of which one in HOLDOUT is held out."""
    return [
        example.model_copy(update={"holdout": index % HOLDOUT == HOLDOUT - 1})
        for index, example in enumerate(examples)
    ]


def _own_labels(
    judge: Judge, generation: Generation, recordings: Sequence[Example]
) -> tuple[list[Example], OwnLabels]:
    """The examples of `recordings` with the labels that the recogniser of `generation` is sure of,
    as the daemon writes them; none where it has not proven right."""
    confidence = generation.card.transcript_confidence
    allowed = confidence is not None and confidence.writes_labels
    found = []
    if confidence is not None and allowed:
        features = judge.heard_by(generation.recogniser)
        for example in recordings:
            transcript = confidence.weigh(features.transcript(example))
            if (transcript.confidence or 0.0) >= LABEL_CONFIDENCE:
                given = {"text": transcript.text, "origin": "recognised"}
                found.append((example.text, example.model_copy(update=given)))
    right = sum(word_errors(text, example.text)[0] == 0 for text, example in found)
    figures = OwnLabels(
        recordings=len(recordings), labelled=len(found), right=right, allowed=allowed
    )
    return [example for _, example in found], figures


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
        examples=examples,
        general=general,
        system_prompt=job.system_prompt,
        training_seconds=job.training_seconds,
        learning_rate=job.learning_rate,
        recogniser=job.recogniser,
        trains_projector=job.trains_projector,
        reply_utterances=0,
        threads=job.threads,
        seed=job.seed,
    )
    return run_apart(personal, name, report)
