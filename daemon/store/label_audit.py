"""Which labels are learnt from and judged by: those that can be true, no text of the one among
those of the other. Pure.

What one label says of itself is found by `daemon/store/label_check.py`; this module looks at labels
beside each other.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from engines.jobs.messages import Origin

from .label_check import TOLD, LabelFault, label_fault, same_words, spoken_words

_WHOLLY_HELD_OUT = 0.25
"""Share of a text's recordings that are held out from which the text judges; below, it is trained
on."""


@dataclass(frozen=True)
class Label:
    """What an utterance is taken to mean, with what is needed to doubt it."""

    utterance: str
    text: str
    seconds: float
    """Of audio; 0 where nobody measured it."""


def label_faults(labels: Iterable[Label], contradicted: Collection[str]) -> dict[str, LabelFault]:
    """Of the labels that cannot be true, why; by utterance. `contradicted` utterances were given
    two texts."""
    found: dict[str, LabelFault] = {}
    for label in labels:
        fault = label_fault(label.text, label.seconds)
        if fault is None and label.utterance in contradicted:
            fault = "contradicted"
        if fault is not None:
            found[label.utterance] = fault
    return found


def told_left_out(left_out: Mapping[str, int]) -> str:
    """How many labels a round left out and why, for people; empty where it left out none."""
    reasons = "; ".join(
        f"{count}: {TOLD[fault]}" for fault, count in sorted(left_out.items()) if fault in TOLD
    )
    count = sum(left_out.values())
    return (
        f"{count} {'label was' if count == 1 else 'labels were'} left out ({reasons})"
        if count
        else ""
    )


@dataclass(frozen=True)
class SharedTexts:
    """Texts that have recordings held out and recordings to be trained on.

    A sentence that is trained on is heard right because it was learnt by heart, which says nothing
    about others. So each of these texts is on one side: where few of its recordings are held out
    they judge nothing, else the others are not trained on.
    """

    judged: frozenset[str]
    learnt: frozenset[str]


def shared_texts(counted: Sequence[tuple[str, int, int]]) -> SharedTexts:
    """Of `counted` texts, each with how many of its recordings are held out, and how many there
    are. Texts that are said alike are one."""
    recordings: dict[tuple[str, ...], list[tuple[str, int, int]]] = defaultdict(list)
    for one in counted:
        recordings[spoken_words(one[0])].append(one)
    sides: dict[bool, set[str]] = {True: set(), False: set()}
    for alike in recordings.values():
        held_out, count = sum(one[1] for one in alike), sum(one[2] for one in alike)
        if 0 < held_out < count:
            sides[held_out >= _WHOLLY_HELD_OUT * count] |= {text for text, *_ in alike}
    return SharedTexts(judged=frozenset(sides[True]), learnt=frozenset(sides[False]))


def contradicted(labels: Iterable[tuple[str, str, Origin]]) -> set[str]:
    """Utterances that a person gave two texts of different words; a correction settles what stood
    before it.

    `labels` are (utterance, text, origin), the oldest of an utterance first.
    """
    texts: dict[str, list[str]] = defaultdict(list)
    for utterance, text, origin in labels:
        if origin == "corrected":
            texts[utterance] = [text]
        elif origin == "enrolled":
            texts[utterance].append(text)
    return {
        utterance
        for utterance, given in texts.items()
        if any(not same_words(*pair) for pair in pairwise(given))
    }
