"""Synthetic sentences replayed in personal rounds, against forgetting. Knows no user.

The corpus that the base learned from is not shipped; a small one of the same making is spoken on the spot, once.
"""

from pathlib import Path

import numpy as np

from engines.replay_set import REPLAY_UTTERANCES, replay_folder
from engines.vocabulary import Vocabulary

from .base_corpus import build, read_rows
from .dataset import make_sample
from .embedlink import Sample

SEED = 20_000
"""Far from the base's own seed: other sentences, the same voices."""


def build_replay(features: Path, encoder: Path, workers: int) -> None:
    """Speak and encode the sentences that are not there yet. Raises AttuneError where no synthesizer is installed."""
    build(replay_folder(features), encoder, REPLAY_UTTERANCES, SEED, workers)


def load_replay(features: Path, vocabulary: Vocabulary, stack: int) -> list[Sample]:
    """What `build_replay` has made so far; empty where it never ran."""
    folder = replay_folder(features)
    samples = []
    for row in read_rows(folder):
        sample = make_sample(np.load(folder / row["frames"], allow_pickle=False), row["text"], vocabulary, stack)
        if sample is not None:
            samples.append(sample)
    return samples
