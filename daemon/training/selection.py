"""Selects what a round learns from and is judged by: a part of what is stored, whose size follows
from how long the round may train.

Pure: knows orders and bounds, no store. The same store and settings give the same part.

A round learns alternately from utterances labelled since the last finished round and from older
ones; if one kind is used up, from the other alone. In each kind, utterances that the user confirmed
come before those that were recognised. New ones come the newest first. Older ones come in the order
of their ids, which are hashes of their audio: a random sample that stays the same while the store
grows. Within each of these groups every text comes once before any text comes again.

A round is judged by the held-out utterances in the order of their ids, with texts spread likewise,
so that generations are judged by the same utterances as long as those are stored.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")

LEARNT_PER_SECOND = 4.0
"""Number of utterances for each second of `adapt.training_seconds`. A step sees 8 of them and takes
half a second to a second on two cores, so each is seen two to four times; more than five times
teaches the recordings, not the voice."""
LEAST_LEARNT, MOST_LEARNT = 64, 3000
SECONDS_EACH = 5.0
"""Mean seconds of audio that an utterance may have: of longer utterances a round takes fewer."""
MOST_LEARNT_SECONDS = 10_800.0
"""Most seconds of audio that a round learns from; their frames take 415 MB of memory with the
smallest encoder."""
JUDGED, RECOGNISED_JUDGED = 64, 32
JUDGED_SECONDS_EACH = 10.0


@dataclass(frozen=True)
class Bound:
    """The most utterances, and the most seconds of their audio, that are taken."""

    utterances: int
    seconds: float


@dataclass(frozen=True)
class Bounds:
    """The bounds of each part of a round's examples."""

    learnt: Bound
    judged: Bound = Bound(JUDGED, JUDGED * JUDGED_SECONDS_EACH)
    """Bound on the held-out utterances whose text the user confirmed. A candidate is promoted or
    refused on these."""
    recognised: Bound = Bound(RECOGNISED_JUDGED, RECOGNISED_JUDGED * JUDGED_SECONDS_EACH)
    """Bound on the held-out utterances that were only recognised. Their scores are shown."""


def bounds_of(training_seconds: float) -> Bounds:
    """Return the bounds for a round that trains for `training_seconds` of processor time per
    thread."""
    learnt = round(min(max(LEARNT_PER_SECOND * training_seconds, LEAST_LEARNT), MOST_LEARNT))
    return Bounds(Bound(learnt, min(learnt * SECONDS_EACH, MOST_LEARNT_SECONDS)))


def spread(ordered: Iterable[T], text_of: Callable[[T], str]) -> list[T]:
    """Return the items in an order in which every text comes once before any comes twice, and so
    on; apart from that the order stays."""
    times: dict[str, int] = {}
    places = []
    for one in ordered:
        text = " ".join(text_of(one).casefold().split())
        times[text] = times.get(text, -1) + 1
        places.append((times[text], one))
    return [one for _, one in sorted(places, key=lambda place: place[0])]


def by_turns(first: Sequence[T], second: Sequence[T]) -> Iterator[T]:
    """Yield one item of each sequence in turn, then the rest of the longer one."""
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
    """Return the first items that are `usable`, as many as `bound` allows, and at least one if
    there is one."""
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
