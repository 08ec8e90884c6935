"""Decides what is removed when a quota is full. Pure: it is given what there is, in the order of
use, and names what to remove."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Stored:
    """A stored file and its size."""

    path: Path
    size_bytes: int
    precious: bool = False
    """True if the user enrolled or corrected it: it is never removed automatically."""


def surplus(stored: Sequence[Stored], quota_bytes: int) -> list[Stored]:
    """Return the files to remove so that the rest fits into the quota. `stored` has the longest
    unused first. No precious file is removed, and no more than necessary."""
    over_bytes = sum(one.size_bytes for one in stored) - quota_bytes
    gone: list[Stored] = []
    for one in stored:
        if over_bytes <= 0:
            break
        if not one.precious:
            gone.append(one)
            over_bytes -= one.size_bytes
    return gone


def surplus_generations(numbers: Sequence[int], served: Collection[int], most: int) -> list[int]:
    """Return the generations to remove, the oldest first, so that `most` are left beside those in
    `served`, which stay."""
    others = sorted(number for number in numbers if number not in served)
    return others[: max(0, len(others) - most)]
