"""What a round is: where it lives, and how it is recorded. Knows no process.

A folder `jobs/NNNN` (job file, checkpoint, log) stands from the start of a round until its verdict.
What it means can be told from the disk alone, so a daemon that was killed goes on where it was.
"""

import logging
import re
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from engines.errors import AttuneError
from engines.generations.folder import Generation, read_generation
from engines.jobs.messages import AdaptJob

from ..jobs.child import ASLEEP_LIMIT_SECONDS, SILENCE_LIMIT_SECONDS
from ..jobs.launch import Launch, as_child
from ..store.records import RoundOutcome
from .idle import Limits

JOB_NAME = "job.json"

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RoundRecord:
    """One round that ended."""

    number: int
    """The generation that it was to write."""
    started_at: float
    """Seconds since the epoch, as `ended_at`."""
    ended_at: float
    outcome: RoundOutcome
    reason: str
    wall_seconds: float
    """Of training by the clock, pauses left out; of the whole child where it wrote nothing."""
    peak_bytes: int
    generation: int | None
    """What it wrote; None where it wrote nothing."""


@dataclass(frozen=True)
class Rounds:
    """Where rounds live and how they are run."""

    generations: Path
    jobs: Path
    limits: Limits
    shadow_turns: int = 0
    """Spoken turns that a candidate which is good enough hears in shadow before it is promoted."""
    resume_after_seconds: float = 2.0
    """Without speech before a paused child goes on."""
    reload_after_seconds: float = 60.0
    """Without speech before a round goes on for which models are unloaded again."""
    poll_seconds: float = 1.0
    silence_limit_seconds: float = SILENCE_LIMIT_SECONDS
    """Processor time per thread that a child may use without a word."""
    asleep_limit_seconds: float = ASLEEP_LIMIT_SECONDS
    """How long a child may sleep without a word."""
    grace_seconds: float = 1.0
    """For a child that was told to leave, before it is killed."""
    yield_grace_seconds: float = 0.5
    """The same where somebody waits for its memory."""
    command: Sequence[str] | None = None
    """What runs a job, in place of `python -m calibration`."""
    launch: Launch = as_child
    """How its process comes to be."""


def job_folder(jobs: Path, number: int) -> Path:
    """Where the round that writes generation `number` keeps what it needs."""
    return jobs / f"{number:04d}"


def prepare(job: AdaptJob, jobs: Path, anew: bool = False) -> Path:
    """Make ready the folder of `job` and return the path of its job file, which is still to be
    written.

    A checkpoint in it is kept only where it belongs to the very same job (examples, parent,
    settings) and `anew` is false. Raises OSError where the disk is full or the folder cannot be
    written.
    """
    path = job_folder(jobs, job.number) / JOB_NAME
    if (
        anew
        or (before := _read_job(path)) is None
        or before.model_copy(update={"micro_batches": job.micro_batches}) != job
    ):
        clear(jobs, job.number)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    return path


def clear(jobs: Path, number: int) -> None:
    """Remove a job's folder; the job file first, so that a half-removed folder is never gone on
    from."""
    folder = job_folder(jobs, number)
    with suppress(FileNotFoundError):
        (folder / JOB_NAME).unlink()
        shutil.rmtree(folder)


def unjudged(jobs: Path, generations: Path) -> Generation | None:
    """The latest generation that was written by a round whose verdict is still to be given; None
    where there is none."""
    folders = sorted(
        (path for path in jobs.glob("*") if re.fullmatch(r"\d{4}", path.name)), reverse=True
    )
    for folder in folders:
        written = generations / folder.name
        if not (written.exists() and (folder / JOB_NAME).exists()):
            continue
        try:
            return read_generation(written)
        except AttuneError as error:
            _log.warning("a candidate cannot be judged: %s", error)
            clear(jobs, int(folder.name))
    return None


def _read_job(path: Path) -> AdaptJob | None:
    with suppress(FileNotFoundError, ValidationError):
        return AdaptJob.model_validate_json(path.read_bytes())
    return None
