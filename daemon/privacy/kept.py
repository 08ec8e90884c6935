"""Finds recordings that are kept, for the user to look at."""

from dataclasses import dataclass

from ..store.records import Utterance
from ..store.store import Store
from .scope import says


@dataclass(frozen=True)
class Kept:
    """One recording."""

    utterance: Utterance
    text: str
    """Its label, or else what was heard; empty if neither is known."""
    origin: str
    """Where the label comes from; empty without one."""
    confidence: float | None
    """Probability, 0 to 1, that the label is right; None without one."""
    user: int | None
    """The user whose voice it is; None for somebody else's, or if it is not clear."""
    user_by: str | None
    """How that is known; None as long as nothing has looked."""


def kept(
    store: Store,
    since: float | None,
    until: float | None,
    word: str,
    most: int,
    *,
    to_review: bool = False,
) -> tuple[list[Kept], int]:
    """Return up to `most` recordings, the latest first, and the number of others: those from
    `since` and before `until`, in seconds since the epoch, in which `word` was said. With
    `to_review` those whose label nobody has confirmed, the least certain first."""
    rows = store.rows(
        "SELECT u.id, u.created_at, u.seconds, u.source, u.audio, u.holdout,"
        " coalesce(c.text, (SELECT heard FROM turns t WHERE t.utterance = u.id), ''),"
        " coalesce(u.label_origin, ''), u.label_confidence, u.user, u.user_by FROM"
        " utterances u"
        " LEFT JOIN chosen_labels c ON c.utterance = u.id"
        " WHERE u.created_at >= ? AND u.created_at < ? AND (NOT ? OR u.label_origin = 'recognised')"
        " ORDER BY CASE WHEN ? THEN u.label_confidence END, u.service_at DESC, u.rowid DESC",
        since or 0.0,
        float("inf") if until is None else until,
        to_review,
        to_review,
    )
    found = [row for row in rows if says(row[6], word)]
    listed = [
        Kept(
            Utterance(
                identifier, created_at, seconds, source, store.audio_folder / audio, bool(holdout)
            ),
            *about,
        )
        for identifier, created_at, seconds, source, audio, holdout, *about in found[:most]
    ]
    return listed, len(found) - len(listed)
