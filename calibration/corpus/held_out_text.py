"""Which sentences no base projector ever trains on: one in 256, by a hash of the text, whoever says them. Knows nothing else."""

import hashlib


def is_held_out(text: str) -> bool:
    """Whether `text` is only ever judged on."""
    return hashlib.sha256(text.encode()).digest()[0] == 0
