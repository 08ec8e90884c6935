"""Decides which labels are trained on and judged by: those that can be true, and no text on both
sides. Pure.

`daemon/store/label_check.py` checks each label by itself; this module compares labels with each
other.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from engines.jobs.messages import Origin

from .label_check import TOLD, LabelFault, label_fault, same_words, spoken_words

_WHOLLY_HELD_OUT = 0.25
"""A text of which at least this share of the recordings, 0 to 1, is held out is judged by; any
other is trained on."""


@dataclass(frozen=True)
class Label:
    """The text that an utterance is taken to mean, and what is needed to check it."""

    utterance: str
    text: str
    seconds: float
    """Length of the audio; 0 if it was not measured."""


def label_faults(labels: Iterable[Label], contradicted: Collection[str]) -> dict[str, LabelFault]:
    """Return why labels cannot be true, by utterance, for those that cannot. `contradicted`
    utterances were given two texts."""
    found: dict[str, LabelFault] = {}
    for label in labels:
        fault = label_fault(label.text, label.seconds)
        if fault is None and label.utterance in contradicted:
            fault = "contradicted"
        if fault is not None:
            found[label.utterance] = fault
    return found


def told_left_out(left_out: Mapping[str, int]) -> str:
    """Say how many labels a round left out and why, for the user; empty if it left out none."""
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
    """Texts with recordings that are held out and recordings to train on.

    A sentence that is trained on is heard right because it was learnt by heart, which says nothing
    about other sentences. So each of these texts is used on one side only. If few of its recordings
    are held out, those do not judge; otherwise the others are not trained on.
    """

    judged: frozenset[str]
    learnt: frozenset[str]


def shared_texts(counted: Sequence[tuple[str, int, int]]) -> SharedTexts:
    """Put each of the `counted` texts on one side. Each comes with the number of its recordings
    that are held out, and of all its recordings. Texts that are said alike count as one."""
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
    """Return the utterances to which the user gave two texts with different words. A correction
    replaces the texts before it.

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
