"""Takes a round's examples from the store: the labels that count, in the order of `selection.py`, whose audio is still there.

However much is stored, texts and files are read only of those that may be taken.
"""

import json
import logging
from collections import Counter
from collections.abc import Sequence

from engines.job import Example
from engines.label_check import LabelFault, label_fault

from .label_audit import contradicted
from .selection import Bound, Bounds, by_turns, spread, within
from .store import Store, is_holdout

logger = logging.getLogger(__name__)

_POOL = 4
"""How many utterances are looked at for each that is taken: among those texts are spread, and lost audio is passed over."""

_CHOSEN = """
SELECT utterance, id, origin, confidence, max(((origin != 'recognised') << 62) | id) FROM labels
GROUP BY utterance ORDER BY utterance
"""
"""The label that counts of each utterance: as the view `chosen_labels` has it, at a tenth of its time. SQLite takes the other
columns from the row that has the max()."""
_ABOUT = """
SELECT u.id, u.audio, l.text, l.origin, u.seconds, l.confidence, u.holdout FROM json_each(?) wanted
JOIN labels l ON l.id = wanted.value JOIN utterances u ON u.id = l.utterance ORDER BY wanted.key
"""


def round_examples(store: Store, bounds: Bounds, min_confidence: float) -> tuple[list[Example], dict[str, int]]:
    """What a round learns from and is judged by, by id; and how many labels that cannot be true were passed over, by fault.

    Recognised labels below `min_confidence` are left out, and so are utterances that lost their audio, which is logged.
    """
    learnt: dict[tuple[bool, bool], list[int]] = {(new, sure): [] for new in (True, False) for sure in (True, False)}
    judged: dict[bool, list[int]] = {True: [], False: []}
    last_learnt = store.last_learnt_label()
    for utterance, label, origin, confidence, _ in store.rows(_CHOSEN):
        sure = origin != "recognised"
        if not sure and confidence < min_confidence:
            continue
        if is_holdout(utterance):
            judged[sure].append(label)
        else:
            learnt[label > last_learnt, sure].append(label)
    for sure in (True, False):
        learnt[True, sure].sort(reverse=True)  # the newest first
    new, older = (
        [*_described(store, learnt[is_new, True], bounds.learnt), *_described(store, learnt[is_new, False], bounds.learnt)]
        for is_new in (True, False)
    )
    left_out: Counter[str] = Counter()
    parts = [
        _usable(store, list(by_turns(new, older)), bounds.learnt, left_out),
        _usable(store, _described(store, judged[True], bounds.judged), bounds.judged, left_out),
        _usable(store, _described(store, judged[False], bounds.recognised), bounds.recognised, left_out),
    ]
    return sorted((example for part in parts for example in part), key=lambda example: example.id), dict(left_out)


def _usable(store: Store, ordered: Sequence[Example], bound: Bound, left_out: Counter[str]) -> list[Example]:
    """Those whose label can be true and whose audio is there, as many as `bound` allows."""
    twice = contradicted(store.given_texts([example.id for example in ordered]))
    lost: list[Example] = []

    def usable(example: Example) -> bool:
        fault: LabelFault | None = label_fault(example.text, example.seconds)
        if fault is None and example.id in twice:
            fault = "contradicted"
        if fault is not None:
            left_out[fault] += 1
            return False
        if example.audio.is_file():
            return True
        lost.append(example)
        return False

    taken = within(ordered, bound, lambda example: example.seconds, usable)
    if lost:
        logger.warning("the audio of %d utterances is gone from %s", len(lost), lost[0].audio.parent)
    return taken


def _described(store: Store, labels: Sequence[int], bound: Bound) -> list[Example]:
    """The first of `labels` that may be taken, texts spread."""
    rows = store.rows(_ABOUT, json.dumps(labels[: _POOL * bound.utterances]))
    examples = [
        Example(
            id=identifier,
            audio=store.audio_folder / name,
            text=text,
            origin=origin,
            seconds=seconds,
            confidence=confidence,
            holdout=bool(holdout),
        )
        for identifier, name, text, origin, seconds, confidence, holdout in rows
    ]
    return spread(examples, lambda example: example.text)
