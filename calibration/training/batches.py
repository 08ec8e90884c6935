"""Draws the samples of a training step: of similar length, because a batch is padded to its longest
sample and padding costs as much as speech.

Knows lengths and orders. Every draw is a function of the seed and the step alone, so a resumed run
draws the same batches.
"""

import random
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar


class Weighted(Protocol):
    """A sample. Its length is the time that it takes, its weight the probability, 0 to 1, with
    which a step that draws it keeps it."""

    def __len__(self) -> int: ...

    @property
    def weight(self) -> float: ...


S = TypeVar("S", bound=Weighted)

Draw = Callable[[int], list[S]]
"""A function from the number of a step to its batch."""


def draw_epochs(samples: Sequence[S], size: int, seed: int) -> Draw[S]:
    """Draw every sample once an epoch, or by its weight less often, in batches of at most `size`
    neighbours by length, whose order is shuffled each epoch."""
    ordered = _by_length(samples)
    batches = [ordered[start : start + size] for start in range(0, len(ordered), size)]

    def draw(step: int) -> list[S]:
        epoch, index = divmod(step, len(batches))
        order = list(range(len(batches)))
        random.Random(seed * 7919 + epoch).shuffle(order)
        return _kept(batches[order[index]], random.Random(seed * 1_000_003 + step))

    return draw


def draw_beside(
    own: Sequence[S], own_count: int, replay: Sequence[S], replay_count: int, seed: int
) -> Draw[S]:
    """Draw `own_count` of `own` and `replay_count` of `replay`, or all where there are fewer, of
    about one length, which is random. Of those that weigh less others are taken in their place, as
    often as their weights say."""
    groups = ((_by_length(own), own_count), (_by_length(replay), replay_count))

    def draw(step: int) -> list[S]:
        rng = random.Random(seed * 1_000_003 + step)
        place = rng.random()
        return [sample for ordered, count in groups for sample in _near(ordered, place, count, rng)]

    return draw


def _by_length(samples: Sequence[S]) -> list[S]:
    return sorted(samples, key=len)


def _near(ordered: list[S], place: float, count: int, rng: random.Random) -> list[S]:
    """`count` samples from around `place` (0 to 1) in `ordered`."""
    window = 3 * count
    start = round(place * (len(ordered) + window)) - window
    start = max(0, min(start, len(ordered) - window))
    near = _kept(ordered[start : start + window], rng)
    return rng.sample(near, min(count, len(near)))


def _kept(drawn: Sequence[S], rng: random.Random) -> list[S]:
    """Those of `drawn` that their weights keep; all, where that would be none."""
    kept = [one for one in drawn if one.weight >= 1 or rng.random() < one.weight]
    return kept or list(drawn)
