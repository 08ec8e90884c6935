"""Cuts a reply that is still being written into clauses that can be said. Pure.

A clause ends where a sentence or a line does. The first one also ends at a comma, so that speech
starts early; later ones are said while the one before still sounds, and gain nothing by that.
"""

import re

FIRST_WORDS = 4
"""Words that the first clause has at least, where it ends at a comma: fewer sound torn off."""
MOST_CHARACTERS = 220
"""The longest clause. Voices take so many seconds for a clause as it is long, and some fail on
longer ones."""
_SENTENCE_END = re.compile("[.!?…]+[\"”\u2019')\\]*_]*(?=\\s)|\n")
_CLAUSE_END = re.compile("[,;:—\u2013](?=\\s)")
_NO_END = re.compile(
    r"(?:\b(?:mr|mrs|ms|dr|st|prof|sr|jr|vs|etc|approx|e\.g|i\.e)|\b[a-z]|(?:^|\n)\s*\d{1,3})\.$",
    re.IGNORECASE,
)
"""What a dot does not end a sentence after: an abbreviation, an initial, the number of a list."""


class ClauseCutter:
    """Cuts one reply."""

    def __init__(self) -> None:
        self._waiting = ""
        self._cut_any = False

    def push(self, piece: str) -> list[str]:
        """Take the next piece of the reply; returns the clauses that are complete now."""
        self._waiting += piece
        clauses = []
        while (end := self._end()) is not None:
            clause, self._waiting = self._waiting[:end].strip(), self._waiting[end:].lstrip(" ")
            if clause:
                self._cut_any = True
                clauses.append(clause)
        return clauses

    def flush(self) -> list[str]:
        """End the reply; returns what is left of it."""
        clauses = self.push("\n")
        self._waiting, self._cut_any = "", False
        return clauses

    def _end(self) -> int | None:
        """Where the first clause of what waits ends; None while it is not complete."""
        for found in _SENTENCE_END.finditer(self._waiting):
            if found.end() > MOST_CHARACTERS:
                break
            if found[0] == "\n" or not _NO_END.search(self._waiting[: found.end()]):
                return found.end()
        if not self._cut_any:
            for found in _CLAUSE_END.finditer(self._waiting, 0, MOST_CHARACTERS):
                if len(self._waiting[: found.end()].split()) >= FIRST_WORDS:
                    return found.end()
        if len(self._waiting) > MOST_CHARACTERS:
            return self._forced_end()
        return None

    def _forced_end(self) -> int:
        """Where a clause that is too long is cut: after its last comma, or else its last space."""
        commas = list(_CLAUSE_END.finditer(self._waiting, 0, MOST_CHARACTERS))
        if commas:
            return commas[-1].end()
        space = self._waiting.rfind(" ", 1, MOST_CHARACTERS)
        return space if space > 0 else MOST_CHARACTERS
