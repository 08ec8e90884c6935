"""The replay set as samples that a projector trains on."""

from pathlib import Path

from engines.jobs.messages import EngineFiles
from engines.llm.vocabulary import Vocabulary

from ..corpus.replay import read_encoded_replay
from .samples import Sample, make_sample


def load_replay(
    features: Path, engines: EngineFiles, vocabulary: Vocabulary, stack: int
) -> list[Sample]:
    """The samples of the replay set as far as it was encoded; empty where it never was."""
    return [
        sample
        for one in read_encoded_replay(features, engines)
        if (sample := make_sample(one.frames, one.row.text, one.first_pass, vocabulary, stack))
    ]
