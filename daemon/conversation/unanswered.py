"""What was heard for clients that ask for the answer in a request of its own, and bring nothing but
the text: the utterance, the doubt and the soft tokens are found again by it.

Knows no model and no store.
"""

from collections import deque
from dataclasses import dataclass

from engines.types import SoftTokens, Transcript

REMEMBERED_SECONDS = 60.0
_MOST = 16


@dataclass(frozen=True)
class HeardBefore:
    """One utterance that was heard, and not answered yet."""

    heard: Transcript | SoftTokens
    words: str
    route: str
    generation: int | None
    utterance: str | None
    at: float
    """When it was heard, in seconds that include time in suspension."""


class Unanswered:
    """The last utterances that were heard, and not answered yet."""

    def __init__(self) -> None:
        self._kept: deque[HeardBefore] = deque(maxlen=_MOST)

    def keep(self, one: HeardBefore) -> None:
        """Remember an utterance for REMEMBERED_SECONDS."""
        self._forget_old(one.at)
        self._kept.append(one)

    def take(self, words: str, now: float) -> HeardBefore | None:
        """The latest utterance with these words, which is forgotten then; None if there is none."""
        self._forget_old(now)
        for one in reversed(self._kept):
            if one.words.strip() == words.strip():
                self._kept.remove(one)
                return one
        return None

    def _forget_old(self, now: float) -> None:
        while self._kept and now - self._kept[0].at > REMEMBERED_SECONDS:
            self._kept.popleft()
