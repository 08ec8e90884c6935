"""Takes a round's examples from the store: the labels that count, in the order of
`training/selection.py`, whose audio is still there.

However much is stored, texts and files are read only of those that may be taken.
"""

import json
import logging
from collections import Counter
from collections.abc import Collection, Sequence

from engines.jobs.messages import Example

from ..store.label_audit import contradicted, shared_texts
from ..store.label_check import LabelFault, label_fault
from ..store.store import Store, is_holdout
from .selection import Bound, Bounds, by_turns, spread, within

logger = logging.getLogger(__name__)

_POOL = 4
"""How many utterances are looked at for each that is taken: among those texts are spread, and lost
audio is passed over."""

_ENOUGH_JUDGED = 16
"""Held-out utterances with texts of their own that judge a round well enough; where there are
fewer, those that share their text with a trained one judge too: whoever always asks for the same
things is served by how well these are heard."""

_CHOSEN = """
SELECT u.id, l.id, l.origin FROM utterances u JOIN labels l ON l.id = u.label
WHERE l.origin != 'recognised' OR l.confidence >= ? ORDER BY u.id
"""
_TEXTS = """
SELECT l.text, sum(u.holdout), count(*) FROM utterances u JOIN labels l ON l.id = u.label
WHERE l.text IN (SELECT value FROM json_each(?)) AND (l.origin != 'recognised' OR l.confidence >= ?)
GROUP BY l.text
"""
"""How often each text is held out and said, of all that is stored: a round takes more of the
held-out ones."""
_ABOUT = """
SELECT u.id, u.audio, l.text, l.origin, u.seconds, l.confidence, u.holdout FROM json_each(?) wanted
JOIN labels l ON l.id = wanted.value JOIN utterances u ON u.id = l.utterance ORDER BY wanted.key
"""


def round_examples(
    store: Store, bounds: Bounds, min_confidence: float
) -> tuple[list[Example], dict[str, int]]:
    """What a round learns from and is judged by, by id; and how many labels that cannot be true
    were passed over, by fault.

    Recognised labels below `min_confidence` are left out, and so are utterances that lost their
    audio, which is logged. No text is both learnt and judged by, unless nothing else is there to be
    learnt, or too little to judge by.
    """
    learnt: dict[tuple[bool, bool], list[int]] = {
        (new, confirmed): [] for new in (True, False) for confirmed in (True, False)
    }
    judged: dict[bool, list[int]] = {True: [], False: []}
    last_learnt = store.history.last_learnt_label()
    for utterance, label, origin in store.rows(_CHOSEN, min_confidence):
        confirmed = origin != "recognised"
        if is_holdout(utterance):
            judged[confirmed].append(label)
        else:
            learnt[label > last_learnt, confirmed].append(label)
    for confirmed in (True, False):
        learnt[True, confirmed].sort(reverse=True)  # the newest first
    new, older = (
        [
            *_described(store, learnt[is_new, True], bounds.learnt),
            *_described(store, learnt[is_new, False], bounds.learnt),
        ]
        for is_new in (True, False)
    )
    sure, recognised = (
        _described(store, judged[True], bounds.judged),
        _described(store, judged[False], bounds.recognised),
    )
    texts = {example.text for some in (new, older, sure, recognised) for example in some}
    shared = shared_texts(store.rows(_TEXTS, json.dumps(list(texts)), min_confidence))
    parts = [
        _usable(store, list(by_turns(new, older)), bounds.learnt, shared.judged, 1),
        _usable(store, sure, bounds.judged, shared.learnt, _ENOUGH_JUDGED),
        _usable(store, recognised, bounds.recognised, shared.learnt, _ENOUGH_JUDGED),
    ]
    left_out: Counter[str] = sum((faults for _, faults in parts), Counter())
    return sorted(
        (example for part, _ in parts for example in part), key=lambda example: example.id
    ), dict(left_out)


def _usable(
    store: Store, ordered: Sequence[Example], bound: Bound, others: Collection[str], enough: int
) -> tuple[list[Example], Counter[str]]:
    """Those whose label can be true and whose audio is there, as many as `bound` allows, and the
    faults of those passed over. Texts that are `others'` are left out where `enough` are there
    without them."""
    twice = contradicted(store.given_texts([example.id for example in ordered]))
    left_out: Counter[str] = Counter()
    lost: set[str] = set()

    def usable(example: Example) -> bool:
        fault: LabelFault | None = label_fault(example.text, example.seconds)
        if fault is None and example.id in twice:
            fault = "contradicted"
        if fault is not None:
            left_out[fault] += 1
            return False
        if example.audio.is_file():
            return True
        lost.add(example.id)
        return False

    own = [example for example in ordered if example.text not in others]
    taken = within(own, bound, lambda example: example.seconds, usable)
    if len(taken) < enough and len(own) < len(ordered):
        left_out.clear()
        taken = within(ordered, bound, lambda example: example.seconds, usable)
    if lost:
        logger.warning("the audio of %d utterances is gone from %s", len(lost), store.audio_folder)
    return taken, left_out


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
