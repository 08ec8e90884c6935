"""The stage of a round that chooses how much of what the recogniser learnt is kept. Loads no torch.

Each share is judged by the first pass of the engines that would serve it: on the user's utterances
that are unlike the learnt ones, and on the retention set.
"""

import gc
from collections.abc import Sequence
from dataclasses import dataclass, replace

from engines.audio.recordings import read_audio
from engines.device.memory import trim
from engines.generations.folder import read_generation
from engines.jobs.messages import AdaptJob, Example, Report
from engines.routes import Transcriber
from engines.whisper.encoder import MAX_SECONDS
from engines.whisper.recogniser_weights import (
    RecogniserWeights,
    blended,
    read_recogniser,
    write_recogniser,
)
from engines.whisper.transcriber import WhisperTranscriber

from ..evaluation.text_scores import error_rate, word_errors
from ..recogniser.start import start_of
from ..training.opening import open_weights
from .folder import ChosenRecogniser, RoundFolder, StageRecord
from .unlike import split_unlike

SHARES = (1.0, 0.6)
MOST_JUDGED = 48
"""The most utterances of the user that the choice is made by."""
GENERAL_SLACK = 0.01
"""By how much the word error on the retention set may be higher than before; absolute."""


@dataclass(frozen=True)
class Heard:
    """The word errors of one recogniser."""

    own: float
    """The word error rate on the user's utterances."""
    general: float
    """The same on the retention set."""


def choose_recogniser(job: AdaptJob, report: Report) -> StageRecord:
    """Write the recogniser that helps the user most and forgets little, where one does.

    Raises AttuneError where an engine or the parent fails.
    """
    folder = RoundFolder(job.folder)
    if not folder.trained_recogniser.is_file():
        folder.write_chosen(ChosenRecogniser(left_out="there was nothing that it could learn from"))
        return StageRecord()
    parent = read_generation(job.generations / f"{job.parent:04d}")
    start = start_of(parent, job.engines.encoder_weights_file)
    trained = read_recogniser(folder.trained_recogniser)
    own = _judged(job)
    served = read_recogniser(parent.recogniser) if parent.recogniser is not None else None
    before = _heard(job, served, own, report, "before")
    found = {}
    # Where the parent has none, the base recogniser itself may be what helps most.
    for share in SHARES if served is not None or start is None else (*SHARES, 0.0):
        weights = blended(start, trained, share)
        found[share] = _heard(job, weights, own, report, f"share {share:g}")
    always = job.recogniser is not None and job.recogniser.kept_always
    chosen = ChosenRecogniser(share=SHARES[0]) if always else choose(before, found)
    folder.write_chosen(chosen)
    if chosen.share is not None:
        write_recogniser(blended(start, trained, chosen.share), folder.recogniser)
    report("choose", 1.0, chosen.left_out or f"share {chosen.share:g} is kept")
    return StageRecord()


def choose(before: Heard, found: dict[float, Heard]) -> ChosenRecogniser:
    """Choose the share with the fewest errors on the user's utterances among those that forget no
    more than GENERAL_SLACK; of equals the smallest. None where none of those is better than
    `before`."""
    kept = {
        share: heard
        for share, heard in found.items()
        if heard.general <= before.general + GENERAL_SLACK + 1e-9
    }
    if not kept:
        least = min(heard.general for heard in found.values())
        return ChosenRecogniser(
            left_out=(
                f"it forgot too much: {_percent(least)} word error on the retention set (was"
                f" {_percent(before.general)})"
            )
        )
    better = {share: heard for share, heard in kept.items() if heard.own < before.own}
    if not better:
        least = min(heard.own for heard in kept.values())
        return ChosenRecogniser(
            left_out=(
                f"it hears this user no better: {_percent(least)} word error on sentences unlike"
                f" the learnt ones (was {_percent(before.own)})"
            )
        )
    return ChosenRecogniser(share=min(better, key=lambda one: (better[one].own, one)))


def _judged(job: AdaptJob) -> list[Example]:
    """The user's utterances that the choice is made by: those unlike the learnt ones, and the
    holdout where those are few."""
    _, unlike = split_unlike(job.learnt)
    return [*unlike, *job.confirmed_holdout][:MOST_JUDGED]


def _opened(job: AdaptJob, weights: RecogniserWeights | None) -> Transcriber:
    if weights is None:
        return WhisperTranscriber(
            job.engines.encoder_weights, job.threads, language=job.engines.language
        )
    recogniser = open_weights(weights, job.engines, job.threads)
    # The first pass tells them apart in half of the time.
    return replace(recogniser, reads_again=False)


def _heard(
    job: AdaptJob,
    weights: RecogniserWeights | None,
    own: Sequence[Example],
    report: Report,
    name: str,
) -> Heard:
    transcriber = _opened(job, weights)
    own_errors, general_errors = (
        [_errors(transcriber, example) for example in examples] for examples in (own, job.general)
    )
    heard = Heard(error_rate(own_errors)[0], error_rate(general_errors)[0])
    del transcriber
    gc.collect()  # it has cycles, and the next one needs its memory
    trim()
    report(
        "choose",
        0.0,
        f"{name}: {_percent(heard.own)} word error, {_percent(heard.general)} on the retention set",
    )
    return heard


def _errors(transcriber: Transcriber, example: Example) -> tuple[int, int]:
    heard = transcriber.transcribe(read_audio(example.audio, MAX_SECONDS)).text
    return word_errors(example.text, heard)


def _percent(rate: float) -> str:
    return f"{100 * rate:.1f} %"
