"""Where the sentences lie that a round replays against forgetting, and how many there are. Knows not how they are spoken."""

from pathlib import Path

REPLAY_UTTERANCES = 400
MANIFEST = "manifest.jsonl"
"""JSON lines: `frames` (a .npy file beside it) and `text`."""

_SPOKEN_SHARE = 0.95
"""Now and then a voice cannot say a sentence."""


def replay_folder(features: Path) -> Path:
    """The folder of the set below the cache of encoder frames."""
    return features / "replay"


def count_replay(features: Path) -> int:
    """How many utterances were made so far."""
    try:
        return len((replay_folder(features) / MANIFEST).read_text().splitlines())
    except FileNotFoundError:
        return 0


def is_complete(features: Path) -> bool:
    """Whether there is nothing left worth making."""
    return count_replay(features) >= _SPOKEN_SHARE * REPLAY_UTTERANCES
