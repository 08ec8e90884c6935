"""The voiceprints that are stored, each beside its utterance."""

import json
from collections.abc import Collection

import numpy as np

from engines.types import Float32
from engines.voiceprint.noise import NOISES, Noise
from engines.voiceprint.profile import MOST_ENROLLED

from ..store.store import Store

_OWN = "user = ?1 AND user_by IN ('enrolled', 'hand')"
_CORRECTED = (
    "label_origin = 'corrected' AND ((user = ?1 AND user_by = 'voice') OR (served = ?1 AND"
    " (user_by IS NULL OR user_by = 'unclear')))"
)
_LEAST_SECONDS = 1.0


class Voiceprints:
    """The voiceprints in a store, and as safe to use from several threads as the store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def own(self, user: int) -> list[str]:
        """The ids of up to MOST_ENROLLED utterances that are known to be the user's without their
        voice: enrolled ones, and those that a person said are theirs."""
        return self._ids(_OWN, user)

    def corrected(self, user: int) -> list[str]:
        """The ids of up to MOST_ENROLLED utterances that were corrected, and that are the user's by
        the voice, or, where it is not clear, were said while the user was served."""
        return self._ids(_CORRECTED, user)

    def without(self, most: int | None) -> list[str]:
        """The ids of up to `most` utterances whose voice nothing has looked at, the latest
        first."""
        return self._names(
            "SELECT id FROM utterances u WHERE (user_by IS NULL OR user_by IN ('voice', 'unclear'))"
            " AND NOT EXISTS (SELECT 1 FROM voiceprints v WHERE v.utterance = u.id AND v.noise ="
            " 'none') ORDER BY service_at DESC, rowid DESC LIMIT ?",
            -1 if most is None else most,
        )

    def missing(self, utterances: Collection[str]) -> list[str]:
        """Those of `utterances` that lack a voiceprint in some noise."""
        return self._names(
            "SELECT u.id FROM json_each(?) wanted JOIN utterances u ON u.id = wanted.value WHERE"
            " (SELECT count(*) FROM voiceprints WHERE utterance = u.id) < ? ORDER BY wanted.key",
            json.dumps(list(utterances)),
            len(NOISES),
        )

    def add(self, utterance: str, prints: dict[Noise, Float32 | None]) -> None:
        """Store voiceprints of one utterance, unless it is gone; None where too little is said."""
        with self._store.writing() as connection:
            if self._store.utterance(utterance) is None:
                return
            connection.executemany(
                "INSERT OR REPLACE INTO voiceprints (utterance, noise, print) VALUES (?, ?, ?)",
                [
                    (utterance, noise, b"" if one is None else one.astype("<f4").tobytes())
                    for noise, one in prints.items()
                ],
            )

    def enrolled(self, utterances: Collection[str]) -> dict[str, Float32]:
        """The voiceprints [noises, size] of those of `utterances` that have them."""
        return {
            name: np.stack([_read(blob) for (blob,) in rows])
            for name in utterances
            if len(rows := self._prints(name)) == len(NOISES) and all(blob for (blob,) in rows)
        }

    def to_tell(self, most: int, offset: int = 0) -> list[tuple[str, Float32 | None]]:
        """Up to `most` utterances whose voice tells whose they are, the latest first, after the
        first `offset`: their ids and voiceprints."""
        rows = self._store.rows(
            "SELECT id, print FROM utterances u JOIN voiceprints ON utterance = id AND noise ="
            " 'none' WHERE user_by IS NULL OR user_by IN ('voice', 'unclear') ORDER BY service_at"
            " DESC, u.rowid DESC LIMIT ? OFFSET ?",
            most,
            offset,
        )
        return [(name, _read(blob) if blob else None) for name, blob in rows]

    def served(self, utterances: Collection[str]) -> dict[str, int]:
        """The user who was served when each of `utterances` was said."""
        return dict(
            self._store.rows(
                "SELECT u.id, served FROM json_each(?) wanted JOIN utterances u ON u.id ="
                " wanted.value",
                json.dumps(list(utterances)),
            )
        )

    @property
    def any_untold(self) -> bool:
        """Whether the voice of some utterance is known, and not yet whose it is."""
        return bool(
            self._store.rows(
                "SELECT 1 FROM utterances JOIN voiceprints ON utterance = id AND noise = 'none'"
                " WHERE user_by IS NULL LIMIT 1"
            )
        )

    def _ids(self, condition: str, user: int) -> list[str]:
        return self._names(
            f"SELECT id FROM utterances WHERE {condition} AND seconds >= ?2 ORDER BY id LIMIT ?3",  # noqa: S608
            user,
            _LEAST_SECONDS,
            MOST_ENROLLED,
        )

    def _names(self, query: str, *values: object) -> list[str]:
        return [name for (name,) in self._store.rows(query, *values)]

    def _prints(self, utterance: str) -> list[tuple[bytes]]:
        return self._store.rows(
            "SELECT print FROM voiceprints WHERE utterance = ? ORDER BY"
            " CASE noise WHEN 'none' THEN 0 WHEN 'white' THEN 1 ELSE 2 END",
            utterance,
        )


def _read(blob: bytes) -> Float32:
    return np.frombuffer(blob, "<f4").astype(np.float32)
