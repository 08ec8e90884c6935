"""The projector of a candidate: the one that the round trained, judged beside the parent's, or
that. Loads no torch."""

from dataclasses import dataclass, field, replace
from pathlib import Path

from engines.alignment.confidence import Confidence
from engines.alignment.decoder import AlignedDecoder
from engines.errors import AttuneError
from engines.generations.folder import (
    ADAPTER,
    ADAPTER_WEIGHTS,
    BASE,
    PROJECTOR,
    RECOGNISER,
    WEIGHTS,
    Generation,
    read_generation,
)
from engines.jobs.messages import AdaptJob, Report

from ..evaluation.fit_confidence import DecodedExample, learn_confidence
from ..evaluation.judge import Judge
from .example_requests import telling_requests
from .folder import RoundFolder
from .panel import Panel, Steps, calibrated


@dataclass(frozen=True)
class JudgedProjector:
    """The projector of the candidate, and what its card says of it."""

    recipe: str
    files: dict[str, Path] = field(default_factory=dict)
    """The source of each file of the generation, by its name; none where it has no projector."""
    confidence: Confidence | None = None
    requests: tuple[str, ...] = ()
    replies: dict[str, float] = field(default_factory=dict)
    left_out: str = ""
    """Why the parent's serves on; empty where the round trained one that helps."""


def kept(parent: Generation, left_out: str) -> JudgedProjector:
    """The projector of `parent`, which serves on."""
    card = parent.card
    files = {name: parent.folder / name for name in card.files if name != RECOGNISER}
    return JudgedProjector(
        card.recipe, files, card.confidence, requests=card.requests, left_out=left_out
    )


def judge_trained(
    job: AdaptJob,
    judge: Judge,
    parent: Generation,
    recogniser: Path | None,
    panel: Panel,
    steps: Steps,
    report: Report,
) -> JudgedProjector:
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
        again = judge.serving_decoder(parent)
        panel.judge("candidate", judge.aligned(again, recogniser), parent.adapter)
        return kept(parent, left_out)
    files = {PROJECTOR: folder.projector, WEIGHTS: folder.weights}
    files |= _adapter_files(folder) if adapter else {}
    return JudgedProjector(_recipe(adapter), files, confidence, requests, replies)


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
    steps: Steps,
) -> dict[str, float]:
    """How well the replies to rows, and to expected embeddings (`blends` in the card) through
    `adapter`, agree with the replies to the true texts; empty without an adapter."""
    if not adapter.is_file():
        return {}
    found = {}
    outputs = (("rows", decoder), ("blends", replace(decoder, output="expected_embeddings")))
    for name, some in outputs:
        answered = job.confirmed_holdout[: job.reply_utterances]
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


def _decoded(
    job: AdaptJob,
    judge: Judge,
    recogniser: Path | None,
    decoder: AlignedDecoder,
    steps: Steps,
) -> dict[str, DecodedExample]:
    """The examples that the confidence is fitted to, decoded, by their ids."""
    decoded = {}
    for example, own in calibrated(job):
        if (one := judge.decoded(decoder, recogniser, example, own=own)) is not None:
            decoded[example.id] = one
        steps.done(f"confidence, {len(decoded)} utterances")
    return decoded


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
