"""Labelled utterances as training samples. Knows no losses."""

import numpy as np
import torch

from engines.spoken_text import spoken_tokens
from engines.types import Float16, Float32
from engines.vocabulary import Vocabulary

from .cif import GROUPS_PER_UNIT
from .samples import Sample


def make_sample(frames: Float16 | Float32, text: str, draft: str, vocabulary: Vocabulary, stack: int) -> Sample | None:
    """A training sample, or None where the text has more tokens than its audio can make units (a wrong label)."""
    tokens = spoken_tokens(text, vocabulary)
    groups = len(frames) // stack
    if not tokens or groups < GROUPS_PER_UNIT * len(tokens):
        return None
    halves = np.ascontiguousarray(frames[: groups * stack], np.float16)
    stacked = torch.from_numpy(halves).view(groups, stack * frames.shape[1])
    return Sample(stacked, torch.tensor(tokens), torch.tensor(spoken_tokens(draft, vocabulary), dtype=torch.int64))
