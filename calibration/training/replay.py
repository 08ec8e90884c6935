"""The replay set as samples that a projector trains on."""

from pathlib import Path

from engines.llm.vocabulary import Vocabulary

from ..corpus.replay import read_encoded_replay
from .samples import Sample, make_sample


def load_replay(features: Path, encoded: Path, vocabulary: Vocabulary, stack: int) -> list[Sample]:
    """The samples of the replay set that are in the folder `encoded`; empty where it never was."""
    return [
        sample
        for one in read_encoded_replay(features, encoded)
        if (sample := make_sample(one.frames, one.row.text, one.first_pass.text, vocabulary, stack))
    ]
