"""What goes when a quota is full. Pure: it is told what there is, in the order of its use, and
names what goes."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Stored:
    """A file that takes room."""

    path: Path
    size_bytes: int
    precious: bool = False
    """What a person gave: it never goes by itself."""


def surplus(stored: Sequence[Stored], quota_bytes: int) -> list[Stored]:
    """What must go for the rest to fit, of what is `stored`, the longest unused first: nothing
    precious, no more than must."""
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
    """Those that must go for `most` to be left beside `served`, which stay: the oldest first."""
    others = sorted(number for number in numbers if number not in served)
    return others[: max(0, len(others) - most)]
