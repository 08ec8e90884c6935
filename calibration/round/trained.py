"""The record of a stage that trains."""

from ..training.checkpoint import Run
from ..training.loop import tail_means
from .folder import StageRecord


def record_of(run: Run, seconds_of_audio: float = 0.0) -> StageRecord:
    """The record of `run`, which learnt from so many seconds of audio."""
    return StageRecord(
        steps=run.step,
        skipped_steps=run.skipped,
        processor_seconds=run.processor_seconds,
        wall_seconds=run.seconds,
        losses=tail_means(run),
        seconds_of_audio=seconds_of_audio,
    )
