"""Keeps the folders and records of rounds. Knows no process.

A folder `jobs/NNNN` (job file, checkpoint, log) exists from the start of a round until its verdict.
The disk alone tells the state of a round, so a daemon that was killed goes on where it was.
"""

import logging
import re
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from engines.encryption.files import UnreadableError, read_file
from engines.errors import AttuneError
from engines.generations.folder import Generation, read_generation
from engines.jobs.messages import AdaptJob

from ..jobs.child import ASLEEP_LIMIT_SECONDS, SILENCE_LIMIT_SECONDS
from ..jobs.launch import Launch, as_child
from ..store.records import FIRST_USER, RoundOutcome
from .idle import Limits

JOB_NAME = "job.json"

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RoundRecord:
    """One round that ended."""

    number: int
    """The generation that the round was to write."""
    started_at: float
    """Seconds since the epoch, like `ended_at`."""
    ended_at: float
    outcome: RoundOutcome
    reason: str
    wall_seconds: float
    """Training time by the clock, without pauses; the time of the whole child if it wrote no
    generation."""
    peak_bytes: int
    generation: int | None
    """The generation that the round wrote; None if it wrote none."""
    user: int = FIRST_USER
    """The user whose round it was."""


@dataclass(frozen=True)
class Rounds:
    """The folders of rounds, and how rounds are run."""

    generations: Path
    jobs: Path
    limits: Limits
    shadow_turns: int = 0
    """Number of spoken turns that a good enough candidate hears in shadow before it is promoted."""
    resume_after_seconds: float = 2.0
    """Seconds without speech before a paused child goes on."""
    reload_after_seconds: float = 60.0
    """Seconds without speech before models are unloaded again for a round that goes on."""
    poll_seconds: float = 1.0
    silence_limit_seconds: float = SILENCE_LIMIT_SECONDS
    """Processor seconds per thread that a child may use without a progress line."""
    asleep_limit_seconds: float = ASLEEP_LIMIT_SECONDS
    """Seconds that a child may sleep without a progress line."""
    grace_seconds: float = 1.0
    """Seconds that a child has to end after it was asked to, before it is killed."""
    yield_grace_seconds: float = 0.5
    """Seconds that a child has to end if a turn waits for its memory."""
    command: Sequence[str] | None = None
    """Command that runs a job, in place of `python -m calibration`."""
    launch: Launch = as_child
    """Starts the job's process."""


def job_folder(jobs: Path, number: int) -> Path:
    """Return the folder of the round that writes generation `number`."""
    return jobs / f"{number:04d}"


def prepare(job: AdaptJob, jobs: Path, anew: bool = False) -> Path:
    """Prepare the folder of `job`. Returns the path of its job file, which is still to be written.

    A checkpoint in the folder is kept only if it belongs to the very same job (examples, parent,
    settings) and `anew` is false. Raises OSError if the disk is full or the folder cannot be
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
    """Remove a job's folder, the job file first, so that no round goes on from a half-removed
    folder."""
    folder = job_folder(jobs, number)
    with suppress(FileNotFoundError):
        (folder / JOB_NAME).unlink()
        shutil.rmtree(folder)


def unjudged(jobs: Path, generations: Path) -> Generation | None:
    """Return the latest generation whose round has no verdict yet; None if there is none."""
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
    with suppress(FileNotFoundError, ValidationError, UnreadableError):
        return AdaptJob.model_validate_json(read_file(path))
    return None
