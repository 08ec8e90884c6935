"""The synthetic sentences that personal rounds replay against forgetting. Knows no user.

The corpus that the base learned from is not shipped; a small one, of voices that set-up installs,
is spoken on the spot, once.
"""

from collections.abc import Callable
from pathlib import Path

from engines.jobs.messages import EngineFiles
from engines.jobs.replay_set import REPLAY_UTTERANCES, replay_folder
from engines.llm.vocabulary import Vocabulary
from engines.types import FRAME_SECONDS

from ..corpus.build import Models, build
from ..corpus.script import replay_script
from ..corpus.shards import Utterance, read_corpus
from .samples import Sample, make_sample

SEED = 20_000
"""A seed far from the base's own, for other sentences in the same voices."""


def build_replay(
    features: Path,
    engines: EngineFiles,
    workers: int,
    report: Callable[[int, int], None] = lambda done, shards: None,
) -> None:
    """Speak and encode the sentences that are not there yet. Raises AttuneError where a synthesizer
    is not installed.

    `report` takes the number of shards that are there and of all shards.
    """
    models = Models(engines.encoder, engines.encoder_weights, kokoro=None, piper=None)
    build(replay_folder(features), replay_script(REPLAY_UTTERANCES, SEED), models, workers, report)


def read_replay(features: Path) -> list[Utterance]:
    """The utterances of the replay set as far as it was made; none where it never was."""
    folder = replay_folder(features)
    return read_corpus([folder]) if any(folder.glob("[0-9]*.jsonl")) else []


def load_replay(features: Path, vocabulary: Vocabulary, stack: int) -> list[Sample]:
    """The samples of the replay set as far as it was made; empty where it never was."""
    samples = []
    for utterance in read_replay(features):
        sample = make_sample(
            utterance.frames, utterance.row.text, utterance.row.first_pass, vocabulary, stack
        )
        if sample is not None:
            samples.append(sample)
    return samples


def longest_replay_seconds(features: Path) -> float:
    """The length of the longest utterance of the replay set; 0 where none was made."""
    frames = (utterance.row.frames for utterance in read_replay(features))
    return max(frames, default=0) * FRAME_SECONDS
