"""What a round takes from generation 0, which no user's label ever trained."""

from pathlib import Path

from engines.errors import AttuneError
from engines.generations.folder import BASE, read_generation
from engines.jobs.messages import AdaptJob

from ..recogniser.start import base_of


def base_recogniser(job: AdaptJob) -> Path | None:
    """The recogniser of generation 0, or the shipped one where that is gone; None where neither was
    made for this Whisper."""
    try:
        return read_generation(job.generations / f"{BASE:04d}").recogniser
    except AttuneError:
        return base_of(job.engines)


def has_base_projector(job: AdaptJob) -> bool:
    """Whether generation 0 has a projector, which tells whether labels fit their recordings."""
    try:
        return read_generation(job.generations / f"{BASE:04d}").projector is not None
    except AttuneError:
        return False
