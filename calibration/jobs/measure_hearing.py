"""Measures what each speech model takes to hear on this device, and what it mishears."""

from collections.abc import Sequence

from engines.errors import AttuneError
from engines.files import write_atomically
from engines.jobs.calibration_jobs import HearingJob
from engines.jobs.messages import Example, Report
from engines.jobs.speech_models import (
    Misheard,
    SpeechModel,
    SpeechModelFigures,
    SpeechModelsMeasured,
)

from ..evaluation.serving_cost import serving_cost
from ..evaluation.text_scores import word_errors
from ..provenance import describe_machine


def measure_hearing(job: HearingJob, report: Report) -> int:
    """Run `job`; returns the number of speech models. Raises AttuneError where there are no
    recordings, or a model cannot be opened."""
    recordings = [*job.general, *job.own]
    if not recordings:
        raise AttuneError("there are no recordings to measure with; run `attune models fetch`")
    measured = []
    for place, model in enumerate(job.models):
        report(model.name, place / len(job.models), f"{len(recordings)} utterances")
        measured.append(_measured(job, model))
    figures = SpeechModelsMeasured(machine=describe_machine(), models=measured)
    write_atomically(job.output, figures.model_dump_json(indent=1).encode())
    return len(measured)


def _measured(job: HearingJob, model: SpeechModel) -> SpeechModelFigures:
    engines = job.engines.model_copy(update={"encoder_weights": model.whisper})
    paths = [example.audio for example in (*job.general, *job.own)]
    found = serving_cost(engines, model.generation, "cascade", paths, job.threads)
    return SpeechModelFigures(
        model=model,
        seconds=found.seconds,
        size_bytes=found.size_bytes,
        general=_misheard(job.general, found.texts),
        own=_misheard(job.own, found.texts[len(job.general) :]),
    )


def _misheard(examples: Sequence[Example], texts: Sequence[str]) -> Misheard | None:
    """The errors of `texts`, of which there may be more than examples; None where there are no
    examples."""
    if not examples:
        return None
    errors = [
        word_errors(example.text, text) for example, text in zip(examples, texts, strict=False)
    ]
    return Misheard(
        utterances=len(examples),
        wrong=sum(wrong for wrong, _ in errors),
        words=sum(words for _, words in errors),
    )
