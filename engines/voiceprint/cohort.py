"""The cohort: voices that are nobody's here, which scores are compared with.

Kokoro's voices that train, each saying COHORT_SENTENCES sentences, without noise and with it:
`calibration/export/voiceprint_cohort.py` makes the file. The voices kept for judging are not among
them.
"""

from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from ..types import Float32
from .model import PRINT_SIZE

FILE = Path(__file__).parent.parent / "base" / "voiceprint_cohort.safetensors"
COHORT_SENTENCES = 4
PRINTS = "prints"
"""The tensor in the file: float16 [voices, noises, COHORT_SENTENCES, PRINT_SIZE]."""


@dataclass(frozen=True)
class Cohort:
    """Voiceprints of several voices, each in several noises."""

    prints: Float32
    """[voices, noises, sentences, PRINT_SIZE]."""

    @cached_property
    def centres(self) -> Float32:
        """[voices, noises, PRINT_SIZE]: the mean of each voice in each noise, of length 1."""
        return of_length_1(self.prints.mean(axis=2))


@cache
def read_cohort(path: Path = FILE) -> Cohort:
    """Read the cohort that comes with Attune."""
    return Cohort(load_file(path)[PRINTS].astype(np.float32))


def of_length_1(vectors: Float32) -> Float32:
    """Return vectors [..., PRINT_SIZE] with their lengths brought to 1."""
    assert vectors.shape[-1] == PRINT_SIZE
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, 1e-9), np.float32)
