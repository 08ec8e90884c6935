"""Takes a round's examples from the store: the labels that count, in the order of
`training/selection.py`, whose audio is still there.

However much is stored, texts and files are read only of utterances that may be taken.
"""

import json
import logging
from collections import Counter
from collections.abc import Collection, Sequence

from engines.jobs.messages import Example

from ..store.label_audit import contradicted, shared_texts
from ..store.label_check import LabelFault, label_fault
from ..store.records import FIRST_USER
from ..store.store import Store, is_holdout
from .selection import Bound, Bounds, by_turns, spread, within

logger = logging.getLogger(__name__)

_POOL = 4
"""Number of utterances that are read for each one that is taken: texts are spread among them, and
those without audio are skipped."""

_ENOUGH_JUDGED = 16
"""Number of held-out utterances with texts of their own that judge a round well enough. If there
are fewer, utterances that share their text with a trained one judge too: for a user who always asks
the same things, what matters is how well these are heard."""

_COUNT = """
(l.origin != 'recognised' OR l.confidence >= ?1) AND (u.user = ?2 OR
(u.user_by = 'unclear' AND u.served = ?2 AND l.origin = 'corrected'))
"""
"""Condition for the labels of a user that count: of utterances that are known to be theirs. If it
is not known whose voice it is, it is theirs if it was corrected while they were served."""
_CHOSEN = f"""
SELECT u.id, l.id, l.origin FROM utterances u JOIN labels l ON l.id = u.label
WHERE {_COUNT} ORDER BY u.id
"""  # noqa: S608 (conditions of this program)
_TEXTS = f"""
SELECT l.text, sum(u.holdout), count(*) FROM utterances u JOIN labels l ON l.id = u.label
WHERE l.text IN (SELECT value FROM json_each(?3)) AND {_COUNT} GROUP BY l.text
"""  # noqa: S608
"""Counts how often each text is held out and how often it was said, among all that is stored. The
examples of a round cannot tell, because a round takes more of the held-out utterances."""
_ABOUT = """
SELECT u.id, u.audio, l.text, l.origin, u.seconds, l.confidence, u.holdout FROM json_each(?) wanted
JOIN labels l ON l.id = wanted.value JOIN utterances u ON u.id = l.utterance ORDER BY wanted.key
"""


def round_examples(
    store: Store, bounds: Bounds, min_confidence: float, user: int = FIRST_USER
) -> tuple[list[Example], dict[str, int]]:
    """Return the examples that a round of `user` learns from and is judged by, sorted by id, and
    for each fault how many labels were left out because they cannot be true.

    Recognised labels below `min_confidence` are left out, and so are utterances that lost their
    audio, which is logged. No text is both trained on and judged by, unless there would be nothing
    else to train on, or too little to judge by.
    """
    learnt: dict[tuple[bool, bool], list[int]] = {
        (new, confirmed): [] for new in (True, False) for confirmed in (True, False)
    }
    judged: dict[bool, list[int]] = {True: [], False: []}
    last_learnt = store.history.last_learnt_label(user)
    for utterance, label, origin in store.rows(_CHOSEN, min_confidence, user):
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
    shared = shared_texts(store.rows(_TEXTS, min_confidence, user, json.dumps(list(texts))))
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
    """Return the examples whose label can be true and whose audio exists, as many as `bound`
    allows, and the faults of those that were left out. Texts among `others` are left out if there
    are `enough` examples without them."""
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
    """Read the first of `labels` that may be taken. Returns their examples, with texts spread."""
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
