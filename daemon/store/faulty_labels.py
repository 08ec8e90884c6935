"""Finds the labels in the store that cannot be true, a few hundred at a time, so that no request
has to wait for all of them."""

import json
import threading

from .label_audit import Label, contradicted, label_faults
from .label_check import LabelFault
from .store import Store

AT_ONCE = 500
"""Number of labels that one call checks, which takes some 20 ms."""

_NEXT = "SELECT id, utterance FROM labels WHERE id > ? ORDER BY id LIMIT ?"
_STILL_THERE = "SELECT value FROM json_each(?) WHERE value IN (SELECT id FROM utterances)"
_CHOSEN = """
SELECT u.id, c.text, u.seconds FROM json_each(?) wanted JOIN utterances u ON u.id = wanted.value
JOIN chosen_labels c ON c.utterance = u.id WHERE c.origin != 'recognised' OR c.confidence >= ?
"""


class FaultyLabels:
    """The faults of the labels that were checked so far. Safe to use from several threads."""

    def __init__(self, store: Store, min_confidence: float) -> None:
        """Check the labels of `store`. Recognised labels below `min_confidence` are left out: no
        round learns from them."""
        self._store = store
        self._min_confidence = min_confidence
        self._lock = threading.Lock()
        self._last = 0
        """The number of the last label that was checked."""
        self._faults: dict[str, LabelFault] = {}

    def found(self) -> dict[str, LabelFault]:
        """Check the next AT_ONCE labels that are new since the last call. Returns why labels cannot
        be true, by utterance, for all that were checked so far."""
        with self._lock:
            new = self._store.rows(_NEXT, self._last, AT_ONCE)
            if new:
                self._last = new[-1][0]
                self._look_at([utterance for _, utterance in new])
            stored = self._store.rows(_STILL_THERE, _json(self._faults))
            self._faults = {utterance: self._faults[utterance] for (utterance,) in stored}
            return dict(self._faults)

    def _look_at(self, utterances: list[str]) -> None:
        wanted = _json(dict.fromkeys(utterances))
        labels = [Label(*row) for row in self._store.rows(_CHOSEN, wanted, self._min_confidence)]
        for utterance in utterances:  # a newer label may be without fault
            self._faults.pop(utterance, None)
        self._faults |= label_faults(
            labels, contradicted(self._store.given_texts(list(dict.fromkeys(utterances))))
        )


def _json(keys: dict[str, LabelFault] | dict[str, None]) -> str:
    return json.dumps(list(keys))
