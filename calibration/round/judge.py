"""The last stage of a round: judges the candidate through the engines that serve, and writes it as
a generation. Loads no torch."""

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import reduce
from operator import or_
from pathlib import Path
from time import process_time

from engines.alignment.confidence import Confidence
from engines.alignment.decoder import AlignedDecoder
from engines.device.memory import peak_resident_bytes
from engines.errors import AttuneError
from engines.files import sha256_of
from engines.generations.card import MOST_DOUBTED, Card, JudgedUtterance, Judgement
from engines.generations.folder import (
    ADAPTER,
    ADAPTER_WEIGHTS,
    BASE,
    PROJECTOR,
    RECOGNISER,
    WEIGHTS,
    Generation,
    read_generation,
    write_generation,
)
from engines.jobs.messages import AdaptJob, Example, Report

from ..corpus.replay import read_encoded_replay
from ..evaluation.fit_confidence import DecodedExample, learn_confidence
from ..evaluation.fit_transcripts import Transcribed, fit_transcript_confidence
from ..evaluation.judge import Judge, Recognise, Scored
from ..evaluation.text_scores import normalise
from ..provenance import versions
from .choose import GENERAL_SLACK
from .example_requests import telling_requests
from .folder import RoundFolder, StageRecord
from .unlike import split_unlike

CALIBRATED_OWN, CALIBRATED_GENERAL = 64, 64
"""The most utterances of the user and of the retention set that the confidence is fitted to: each
takes seconds, because its whole n-best list is compared."""
CALIBRATED_REPLAYED = 120
"""The most sentences of the replay set that the confidence in transcripts is fitted to."""
_JUDGED = ("candidate", "current", "cascade")
_RECOGNISERS = ("recogniser", "current_recogniser")
"""Those that are judged only where there are such."""


def judge(job: AdaptJob, report: Report) -> StageRecord:
    """Judge the candidate that the stages before made, and write the generation. Raises AttuneError
    where an engine or the parent fails."""
    began = process_time()
    folder = RoundFolder(job.folder)
    # A label that has no words after normalisation ("Um.") would only count added words as errors.
    examples = [
        example for example in job.examples if not example.holdout or normalise(example.text)
    ]
    job = job.model_copy(update={"examples": examples})
    parent = read_generation(job.generations / f"{job.parent:04d}")
    training = job.learnt
    judge = Judge.for_job(job)
    steps = _Steps(job, report)
    report("judge", 0.0, "opening the engines")
    panel = _Panel(job, judge, steps)
    recogniser = folder.serving_recogniser(parent)
    if parent.projector is None:
        projector = None
    elif job.trains_projector:
        projector = _judge_trained(job, judge, parent, recogniser, panel, steps, report)
    else:
        kept = judge.serving_decoder(parent)
        panel.judge("current", judge.aligned(kept, parent.recogniser), parent.adapter)
        panel.judge("candidate", judge.aligned(kept, recogniser), parent.adapter)
        projector = _kept(parent, "its training is off")
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
        projector = _Projector(recipe="a recogniser alone")
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
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        recipe=projector.recipe,
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


@dataclass(frozen=True)
class _Projector:
    """The projector of the candidate, and what its card says of it."""

    recipe: str
    files: dict[str, Path] = field(default_factory=dict)
    """The source of each file of the generation, by its name; none where it has no projector."""
    confidence: Confidence | None = None
    requests: tuple[str, ...] = ()
    replies: dict[str, float] = field(default_factory=dict)
    left_out: str = ""
    """Why the parent's serves on; empty where the round trained one that helps."""


def _kept(parent: Generation, left_out: str) -> _Projector:
    """The projector of `parent`, which serves on."""
    card = parent.card
    files = {name: parent.folder / name for name in card.files if name != RECOGNISER}
    return _Projector(
        card.recipe, files, card.confidence, requests=card.requests, left_out=left_out
    )


def _judge_trained(
    job: AdaptJob,
    judge: Judge,
    parent: Generation,
    recogniser: Path | None,
    panel: "_Panel",
    steps: "_Steps",
    report: Report,
) -> _Projector:
    """Judge the projector that the round trained, and the parent's; of them, the one that the
    candidate serves with."""
    folder = RoundFolder(job.folder)
    # First, and gone by the time that the candidate is opened: two decoders at once would take 160
    # MB more.
    current = judge.serving_decoder(parent)
    panel.judge("current", judge.aligned(current, parent.recogniser), parent.adapter)
    del current
    requests = telling_requests(example.text for example in job.learnt)
    unsure = judge.decoder(folder.projector, None, requests)
    decoded = _decoded(job, judge, recogniser, unsure, steps)
    confidence = learn_confidence(
        unsure, list(decoded.values()), _base_confidence(job, parent, report)
    )
    candidate = replace(unsure, confidence=confidence)
    replies = _compare_replies(job, judge, candidate, recogniser, folder.adapter, steps)
    adapter = None
    if replies and replies["blends"] > replies["rows"]:
        candidate, adapter = replace(candidate, output="expected_embeddings"), folder.adapter
    panel.judge("candidate", judge.aligned(candidate, recogniser, decoded), adapter)
    left_out = panel.why_left_out() if folder.chosen.share is not None else ""
    if left_out:
        # The parent's projector serves on, on the frames of the new recogniser.
        del unsure, candidate
        kept = judge.serving_decoder(parent)
        panel.judge("candidate", judge.aligned(kept, recogniser), parent.adapter)
        return _kept(parent, left_out)
    files = {PROJECTOR: folder.projector, WEIGHTS: folder.weights}
    files |= _adapter_files(folder) if adapter else {}
    return _Projector(_recipe(adapter), files, confidence, requests, replies)


def _recipe(adapter: Path | None) -> str:
    return "embedlink-cif, distilled" if adapter else "embedlink-cif"


def _adapter_files(folder: RoundFolder) -> dict[str, Path]:
    kept = (
        path
        for path in folder.adapter_weights.iterdir()
        if path.suffix in (".json", ".safetensors")
    )
    return {ADAPTER: folder.adapter} | {f"{ADAPTER_WEIGHTS}/{path.name}": path for path in kept}


def _compare_replies(
    job: AdaptJob,
    judge: Judge,
    decoder: AlignedDecoder,
    recogniser: Path | None,
    adapter: Path,
    steps: "_Steps",
) -> dict[str, float]:
    """How well the replies to rows, and to expected embeddings (`blends` in the card) through
    `adapter`, agree with the replies to the true texts; empty without an adapter."""
    if not adapter.is_file():
        return {}
    found = {}
    outputs = (("rows", decoder), ("blends", replace(decoder, output="expected_embeddings")))
    for name, some in outputs:
        answered = _holdout(job)[: job.reply_utterances]
        score = judge.score(
            judge.aligned(some, recogniser),
            answered,
            f"replies to {name}",
            replies=len(answered),
            adapter=adapter if some.output == "expected_embeddings" else None,
            told=steps.done,
        ).score
        if score.rouge_l is None:
            return {}
        found[name] = score.rouge_l
    return found


def _holdout(job: AdaptJob) -> list[Example]:
    return [
        example for example in job.examples if example.holdout and example.origin != "recognised"
    ]


def _calibrated(job: AdaptJob) -> list[tuple[Example, bool]]:
    """The examples that the confidence is fitted to, and whether each is the user's own: of those
    that are unlike the learnt ones, too, because most requests will be."""
    _, unlike = split_unlike(job.learnt)
    own, general = (
        stable_sample([*_holdout(job), *unlike], CALIBRATED_OWN),
        stable_sample(job.general, CALIBRATED_GENERAL),
    )
    return [*((example, True) for example in own), *((example, False) for example in general)]


def stable_sample(examples: Sequence[Example], most: int) -> list[Example]:
    """`most` of `examples`, in their order: those whose ids have the smallest hashes, so mostly the
    same ones while others are added."""
    ranked = sorted(examples, key=lambda example: hashlib.sha256(example.id.encode()).digest())
    chosen = {example.id for example in ranked[:most]}
    return [example for example in examples if example.id in chosen]


def _decoded(
    job: AdaptJob,
    judge: Judge,
    recogniser: Path | None,
    decoder: AlignedDecoder,
    steps: "_Steps",
) -> dict[str, DecodedExample]:
    """The examples that the confidence is fitted to, decoded, by their ids."""
    decoded = {}
    for example, own in _calibrated(job):
        if (one := judge.decoded(decoder, recogniser, example, own=own)) is not None:
            decoded[example.id] = one
        steps.done(f"confidence, {len(decoded)} utterances")
    return decoded


def _transcribed(
    job: AdaptJob, judge: Judge, recogniser: Path, folder: RoundFolder
) -> Iterator[Transcribed]:
    """What the confidence in the transcripts of `recogniser` is fitted to: what that of the
    readings is, and sentences of the replay set, whose atypical voices are misheard more often."""
    features = judge.heard_by(recogniser)
    for example, own in _calibrated(job):
        yield Transcribed(example.text, features.transcript(example), own)
    for one in read_encoded_replay(job.features, folder.replay)[:CALIBRATED_REPLAYED]:
        yield Transcribed(one.row.text, one.first_pass, own=False)


def _base_confidence(job: AdaptJob, parent: Generation, report: Report) -> Confidence | None:
    """The confidence of the base, near which that of the candidate is fitted: a round has few
    readings, and the parent's confidence has counted the older ones already.

    It is the parent's where the base is gone, which is reported.
    """
    try:
        return read_generation(job.generations / f"{BASE:04d}").card.confidence
    except AttuneError as error:
        report("judge", 0.0, f"the parent's confidence in place of the base's: {error}")
        return parent.card.confidence


class _Steps:
    """The progress of the stage, in steps of one utterance that is decoded once."""

    def __init__(self, job: AdaptJob, report: Report) -> None:
        compared = 2 * min(job.reply_utterances, len(_holdout(job))) if job.distils else 0
        self.report = report
        self._done = 0
        self._to_do = (
            (len(_JUDGED) + (len(_RECOGNISERS) if job.recogniser else 0))
            * sum(map(len, _sets(job).values()))
            + len(_calibrated(job))
            + compared
        )

    def done(self, note: str) -> None:
        """Report one more step, with a note."""
        self._done += 1
        self.report("judge", min(1.0, self._done / max(self._to_do, 1)), note)


def _sets(job: AdaptJob) -> dict[str, list[Example]]:
    """The sets that are judged, by their names in the card; sets without examples are left out."""
    sets = {
        "holdout": _holdout(job),
        "recognised": [
            example
            for example in job.examples
            if example.holdout and example.origin == "recognised"
        ],
        "general": job.general,
    }
    return {name: examples for name, examples in sets.items() if examples}


class _Panel:
    """All sets of utterances, with the scores of each of _JUDGED on them, and of _RECOGNISERS."""

    def __init__(self, job: AdaptJob, judge: Judge, steps: _Steps) -> None:
        self._sets = _sets(job)
        self._replies = {"holdout": job.reply_utterances}
        self._judge = judge
        self._steps = steps
        self._scored: dict[str, dict[str, Scored]] = {}

    def judge(self, who: str, recognise: Recognise, adapter: Path | None) -> None:
        """Score `who`, of _JUDGED or _RECOGNISERS, on all sets; replies pass through `adapter`."""
        self._scored[who] = {
            name: self._judge.score(
                recognise,
                examples,
                f"{name}, {who}",
                replies=self._replies.get(name, 0),
                adapter=adapter,
                told=self._steps.done,
            )
            for name, examples in self._sets.items()
        }

    def copy(self, who: str, other: str) -> None:
        """Give `other`, which is the same recogniser, the scores of `who`."""
        self._scored[other] = self._scored[who]

    def why_left_out(self) -> str:
        """Why the candidate's projector is left out where its recogniser helps by itself: it hears
        the user no better than the current one, or forgot too much. Empty where it helps."""
        candidate, current = self._scored["candidate"], self._scored["current"]
        rates = {
            name: tuple(one[name].score.word_error_rate for one in (candidate, current))
            for name in self._sets
        }
        if "general" in rates and rates["general"][0] > rates["general"][1] + GENERAL_SLACK:
            return "it forgot too much: {:.1%} word error on the retention set (was {:.1%})".format(
                *rates["general"]
            )
        if "holdout" in rates and rates["holdout"][0] >= rates["holdout"][1]:
            return "it hears this user no better: {:.1%} word error (was {:.1%})".format(
                *rates["holdout"]
            )
        return ""

    def judgements(self) -> dict[str, Judgement]:
        """The judgement of each set, by its name; complete once all of _JUDGED were scored."""
        return {
            name: _judgement(examples, {who: by[name] for who, by in self._scored.items()})
            for name, examples in self._sets.items()
        }


def _judgement(examples: list[Example], by: dict[str, Scored]) -> Judgement:
    """The judgement of `examples` by the scores `by`, whose keys are the names of Judgement's
    scores."""
    utterances = []
    for place, example in enumerate(examples):
        errors = {who: scored.counted[place][0] for who, scored in by.items()}
        _, words = next(iter(by.values())).counted[place]
        utterances.append(JudgedUtterance(id=example.id, words=words, **errors))
    return Judgement(
        **{who: scored.score for who, scored in by.items()}, utterances=tuple(utterances)
    )
