"""The synthetic sentences that personal rounds replay against forgetting. Knows no user. Loads no
torch.

The corpus that the base learned from is not shipped; a small one, of voices that set-up installs,
is spoken on the spot, once, and encoded once for each recogniser.
"""

from collections.abc import Callable
from pathlib import Path

from engines.jobs.messages import EngineFiles
from engines.jobs.replay_set import REPLAY_UTTERANCES, replay_folder
from engines.types import FRAME_SECONDS
from engines.whisper.encoder_onnx import OnnxEncoder
from engines.whisper.recogniser import Recogniser

from .build import NeuralVoices, build
from .encoded import EncodedUtterance, encode_shards, missing_shards, read_encoded
from .script import replay_script
from .shards import Utterance, read_corpus, shards_of

SEED = 20_000
"""A seed far from the base's own, for other sentences in the same voices."""
ENCODED_SHARDS = 1
"""The shards that a projector trains on, half of the set: a step draws eight of their sentences, a
round each of them six times, and encoding takes a second for four of them."""


def build_replay(
    features: Path,
    engines: EngineFiles,
    workers: int,
    report: Callable[[int, int], None] = lambda done, shards: None,
) -> None:
    """Speak the sentences that are not there yet. Raises AttuneError where a synthesizer is not
    installed.

    `report` takes the number of shards that are there and of all shards.
    """
    mel_bins = OnnxEncoder(engines.encoder, 1).mel_bins
    script = replay_script(REPLAY_UTTERANCES, SEED)
    build(replay_folder(features), script, NeuralVoices(), mel_bins, workers, report)


def encode_replay(
    features: Path,
    encoded: Path,
    recogniser: Callable[[], Recogniser],
    report: Callable[[int, int], None] = lambda done, shards: None,
) -> None:
    """Encode the first ENCODED_SHARDS shards into the folder `encoded`, as far as they are not
    there yet, by what `recogniser` opens; `report` takes the number of shards that were encoded and
    of those that were missing.

    Raises AttuneError where a shard is damaged or an engine fails.
    """
    folder = replay_folder(features)
    missing = [n for n in missing_shards(folder, encoded) if n < ENCODED_SHARDS]
    if not missing:
        return
    encode_shards(folder, encoded, missing, recogniser(), lambda done: report(done, len(missing)))


def read_encoded_replay(features: Path, encoded: Path) -> list[EncodedUtterance]:
    """The utterances of the replay set that are in the folder `encoded`; none where it never
    was."""
    return read_encoded(replay_folder(features), encoded)


def read_replay(features: Path) -> list[Utterance]:
    """The utterances of the replay set as far as it was made; none where it never was."""
    folder = replay_folder(features)
    return read_corpus([folder]) if shards_of(folder) else []


def longest_replay_seconds(features: Path) -> float:
    """The length of the longest utterance of the replay set; 0 where none was made."""
    frames = (utterance.row.frames for utterance in read_replay(features))
    return max(frames, default=0) * FRAME_SECONDS
