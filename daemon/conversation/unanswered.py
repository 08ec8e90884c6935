"""What was heard in a turn, and what was heard for clients that ask for the answer in a request of
its own: they bring nothing but the text, by which the rest is found again.

Knows no model and no store.
"""

from collections import deque
from dataclasses import dataclass

from engines.types import SoftTokens, Transcript

REMEMBERED_SECONDS = 60.0
_MOST = 16


@dataclass(frozen=True)
class WhatWasHeard:
    """The words of one turn, and where they come from."""

    heard: Transcript | SoftTokens
    words: str
    """The same as text."""
    route: str
    """`cascade`, `aligned`, or `text`."""
    generation: int | None = None
    """The generation whose soft tokens they are; None if they are none."""
    utterance: str | None = None
    """Id of the utterance; None if it is not stored, or not yet."""
    at: float = 0.0
    """When it was heard, in seconds that include time in suspension."""


class Unanswered:
    """The last utterances that were heard, and not answered yet."""

    def __init__(self) -> None:
        self._kept: deque[WhatWasHeard] = deque(maxlen=_MOST)

    def keep(self, one: WhatWasHeard) -> None:
        """Remember an utterance for REMEMBERED_SECONDS."""
        self._forget_old(one.at)
        self._kept.append(one)

    def take(self, words: str, now: float) -> WhatWasHeard | None:
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
