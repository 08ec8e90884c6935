"""Which labels are learnt from and judged by: those that can be true, no text of the one among those of the other. Pure.

What one label says of itself is found by `engines/label_check.py`; this module looks at labels beside each other.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from engines.job import Example, Origin
from engines.label_check import TOLD, LabelFault, label_fault, same_words, spoken_words

SHOWN = 100
"""Utterances whose fault is told one by one."""
_ENOUGH_HELD_OUT = 16
"""Held-out utterances with texts of their own that judge a round well enough; where there are fewer, those that share their text
with a trained one judge too: whoever always asks for the same things is served by how well these are heard."""
_WHOLLY_HELD_OUT = 0.25
"""Share of a text's recordings that are held out from which the text is judged by and not trained on; below it is the other way
round."""


@dataclass(frozen=True)
class Label:
    """What an utterance is taken to mean, with what is needed to doubt it."""

    utterance: str
    text: str
    seconds: float
    """Of audio; 0 where nobody measured it."""


def label_faults(labels: Iterable[Label], contradicted: Collection[str]) -> dict[str, LabelFault]:
    """Of the labels that cannot be true, why; by utterance. `contradicted` utterances were given two texts."""
    found: dict[str, LabelFault] = {}
    for label in labels:
        fault = label_fault(label.text, label.seconds)
        if fault is None and label.utterance in contradicted:
            fault = "contradicted"
        if fault is not None:
            found[label.utterance] = fault
    return found


def counted_faults(faults: Mapping[str, LabelFault]) -> dict[str, object]:
    """What `attune status` says of labels that are left out: how many, how many for each reason, and why for each utterance, of
    SHOWN at most."""
    by_reason = {TOLD[fault]: count for fault, count in Counter(faults.values()).items()}
    shown = {utterance: TOLD[fault] for utterance, fault in list(faults.items())[:SHOWN]}
    return {"count": len(faults), "reasons": by_reason, "utterances": shown}


def told_left_out(left_out: Mapping[str, int]) -> str:
    """How many labels a round left out and why, for people; empty where it left out none."""
    reasons = "; ".join(f"{count}: {TOLD[fault]}" for fault, count in sorted(left_out.items()) if fault in TOLD)
    count = sum(left_out.values())
    return f"{count} {'label was' if count == 1 else 'labels were'} left out ({reasons})" if count else ""


def without_shared_texts(examples: Sequence[Example]) -> list[Example]:
    """`examples` less those whose text stands on the other side too: held out as well as trained on.

    A sentence that is trained on is heard right because it was learnt by heart, which says nothing about others. Of a text with
    many recordings the few that are held out go, unless fewer than _ENOUGH_HELD_OUT would be left to judge by; of one with few
    recordings those to be trained on go. Where nothing to be trained on would be left, `examples` stay as they are.
    """
    by_text: dict[tuple[str, ...], list[Example]] = defaultdict(list)
    for example in examples:
        by_text[spoken_words(example.text)].append(example)
    left_out: set[str] = set()
    shared: set[str] = set()
    for group in by_text.values():
        held_out = [example.id for example in group if example.holdout]
        trained = [example.id for example in group if not example.holdout]
        if held_out and trained and len(held_out) >= _WHOLLY_HELD_OUT * len(group):
            left_out |= set(trained)
        elif held_out and trained:
            shared |= set(held_out)
    if sum(example.holdout and example.id not in shared for example in examples) >= _ENOUGH_HELD_OUT:
        left_out |= shared
    kept = [example for example in examples if example.id not in left_out]
    return kept if any(not example.holdout for example in kept) else list(examples)


def contradicted(labels: Iterable[tuple[str, str, Origin]]) -> set[str]:
    """Utterances that a person gave two texts of different words; a correction settles what stood before it.

    `labels` are (utterance, text, origin), the oldest of an utterance first.
    """
    texts: dict[str, list[str]] = defaultdict(list)
    for utterance, text, origin in labels:
        if origin == "corrected":
            texts[utterance] = [text]
        elif origin == "enrolled":
            texts[utterance].append(text)
    return {utterance for utterance, given in texts.items() if any(not same_words(*pair) for pair in pairwise(given))}
