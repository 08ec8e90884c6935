"""The replay set, whose sentences a round repeats against forgetting: its place and its size. Knows
not how they are spoken."""

from pathlib import Path

REPLAY_UTTERANCES = 400

_SPOKEN_SHARE = 0.95
"""The share of the sentences that makes a complete set: now and then a voice cannot say one."""


def replay_folder(features: Path) -> Path:
    """The folder of the replay set in the cache `features`. It holds shards, each with its log-mel
    and an index of one line for each utterance."""
    return features / "replay"


def count_replay(features: Path) -> int:
    """The number of utterances that are there so far; those of the versions that kept no log-mel
    are made anew, and do not count."""
    return sum(
        len(index.read_text().splitlines())
        for index in replay_folder(features).glob("[0-9]*.jsonl")
        if index.with_suffix(".mel.npy").is_file()
    )


def is_complete(features: Path) -> bool:
    """Whether the replay set has all sentences that the voices can say."""
    return count_replay(features) >= _SPOKEN_SHARE * REPLAY_UTTERANCES
