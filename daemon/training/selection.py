"""What a round learns from and is judged by: a part of what is stored, whose size follows from how
long the round may train.

Pure: knows orders and bounds, no store. The same store and settings give the same part.

A round learns, by turns, from utterances labelled since the last round that finished and from older
ones; where one kind is used up, from the other alone. In each kind those that a person confirmed
come before those that were recognised. New ones come the newest first, older ones in the order of
their ids, which are hashes of their audio: a random sample that stays the same while the store
grows. Within each of these groups every text comes once before any text comes again.

A round is judged by the held-out utterances in the order of their ids, texts spread likewise, so
that generations are judged by the same ones as far as those are still stored.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")

LEARNT_PER_SECOND = 4.0
"""Utterances for each second of `adapt.training_seconds`. A step sees 8 of them and takes half a
second to a second on two cores, so each is seen two to four times; more than five times teaches the
recordings, not the voice."""
LEAST_LEARNT, MOST_LEARNT = 64, 3000
SECONDS_EACH = 5.0
"""Of audio, in the mean: whoever says longer utterances teaches fewer of them."""
MOST_LEARNT_SECONDS = 10_800.0
"""Of audio: the frames of so much take 415 MB of memory with the smallest encoder."""
JUDGED, RECOGNISED_JUDGED = 64, 32
JUDGED_SECONDS_EACH = 10.0


@dataclass(frozen=True)
class Bound:
    """How many utterances, and seconds of their audio, are taken at most."""

    utterances: int
    seconds: float


@dataclass(frozen=True)
class Bounds:
    """Of each part of a round's examples."""

    learnt: Bound
    judged: Bound = Bound(JUDGED, JUDGED * JUDGED_SECONDS_EACH)
    """Held-out utterances whose text a person confirmed: on these a candidate is promoted or
    refused."""
    recognised: Bound = Bound(RECOGNISED_JUDGED, RECOGNISED_JUDGED * JUDGED_SECONDS_EACH)
    """Held-out utterances that were only recognised: their scores are shown."""


def bounds_of(training_seconds: float) -> Bounds:
    """For a round that trains for `training_seconds` of processor time per thread."""
    learnt = round(min(max(LEARNT_PER_SECOND * training_seconds, LEAST_LEARNT), MOST_LEARNT))
    return Bounds(Bound(learnt, min(learnt * SECONDS_EACH, MOST_LEARNT_SECONDS)))


def spread(ordered: Iterable[T], text_of: Callable[[T], str]) -> list[T]:
    """The same in an order in which every text comes once before any comes twice, and so on; else
    as they were."""
    times: dict[str, int] = {}
    places = []
    for one in ordered:
        text = " ".join(text_of(one).casefold().split())
        times[text] = times.get(text, -1) + 1
        places.append((times[text], one))
    return [one for _, one in sorted(places, key=lambda place: place[0])]


def by_turns(first: Sequence[T], second: Sequence[T]) -> Iterator[T]:
    """One of each in turn, and what is left of the longer."""
    both = min(len(first), len(second))
    for pair in zip(first[:both], second[:both], strict=True):
        yield from pair
    yield from first[both:]
    yield from second[both:]


def within(
    ordered: Iterable[T],
    bound: Bound,
    seconds_of: Callable[[T], float],
    usable: Callable[[T], bool],
) -> list[T]:
    """The first of those that are `usable`, as many as `bound` allows; one at least, where there is
    one."""
    taken: list[T] = []
    seconds = 0.0
    for one in ordered:
        if len(taken) >= bound.utterances:
            break
        if not usable(one):
            continue
        seconds += seconds_of(one)
        if taken and seconds > bound.seconds:
            break
        taken.append(one)
    return taken
