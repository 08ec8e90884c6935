"""Leaves whole sentences' beginnings and whole words of an enrolment out of training, to judge what
a recogniser learnt of the voice and not of the sentences. Knows texts, no audio.

What is enrolled is alike: a few templates, a few words. A recogniser that trains too long hears
those ever better and all others ever worse, and held-out utterances of the same templates do not
show it. So some words, and some ways to begin, are never trained on.
"""

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from math import ceil

from engines.jobs.messages import Example

from ..evaluation.text_scores import normalise

LEFT_OUT_SHARE = 0.06
"""The share of the examples that is left out. Those words are heard less well afterwards: with 0.12
the enrolled words were at 1.5 % word error, and at 0.0 % with nothing left out."""
LEAST_EXAMPLES = 16
"""Of fewer examples none is left out: too little would remain to learn from."""
_LARGEST_GROUP = 0.03
"""The largest share of the examples that has a word, or begins alike, for them to be left out
whole."""
_BEGINNING_WORDS = 2


def split_unlike(examples: Sequence[Example]) -> tuple[list[Example], list[Example]]:
    """Split `examples` into those to learn from and those to judge by.

    Every example with one of some words, and every one that begins with the same two words as
    another that is left out, is judged by if its text is confirmed, and is in neither part if not:
    what the recogniser wrote says nothing about how well it hears. The choice goes by hashes of the
    words, so that it stays nearly the same while others are added.
    """
    if len(examples) < LEAST_EXAMPLES:
        return list(examples), []
    groups: dict[str, set[int]] = defaultdict(set)
    for place, example in enumerate(examples):
        for group in _groups(example.text):
            groups[group].add(place)
    confirmed = {place for place, example in enumerate(examples) if example.confirmed}
    left_out: set[int] = set()
    wanted = ceil(LEFT_OUT_SHARE * len(examples))
    for group in sorted(groups, key=_rank):
        if not groups[group] & confirmed:
            continue
        if len(groups[group]) > max(1.0, _LARGEST_GROUP * len(examples)):
            continue
        if len(left_out | groups[group]) > wanted:
            continue
        left_out |= groups[group]
    kept = [example for place, example in enumerate(examples) if place not in left_out]
    return kept, [examples[place] for place in sorted(left_out & confirmed)]


def _groups(text: str) -> set[str]:
    """The groups that a text belongs to: one for each of its words, and one for its beginning."""
    words = normalise(text).split()
    return {*words, " ".join(words[:_BEGINNING_WORDS])} if words else set()


def _rank(group: str) -> bytes:
    return hashlib.sha256(group.encode()).digest()
