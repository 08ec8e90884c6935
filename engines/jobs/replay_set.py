"""Where the sentences lie that a round replays against forgetting, and how many there are. Knows
not how they are spoken."""

from pathlib import Path

REPLAY_UTTERANCES = 400

_SPOKEN_SHARE = 0.95
"""Now and then a voice cannot say a sentence."""


def replay_folder(features: Path) -> Path:
    """The folder of the set below the cache of encoder frames: shards, each with an index of a line
    an utterance."""
    return features / "replay"


def count_replay(features: Path) -> int:
    """How many utterances were made so far."""
    return sum(
        len(index.read_text().splitlines())
        for index in replay_folder(features).glob("[0-9]*.jsonl")
    )


def is_complete(features: Path) -> bool:
    """Whether there is nothing left worth making."""
    return count_replay(features) >= _SPOKEN_SHARE * REPLAY_UTTERANCES
