"""Detects text that has degenerated: into a loop, or into something that is no text. Pure; knows no
model.

Greedy decoding falls into loops (Holtzman et al. 2020, *The curious case of neural text
degeneration*), and a small model repeats what stands in its conversation: a degenerate reply that
is kept there makes the next ones degenerate, too.
"""

import re
import unicodedata
from collections.abc import Sequence

CYCLE_TOKENS = 32
"""The fewest tokens that a cycle covers: a short refrain covers fewer."""
CYCLE_COPIES = 3
"""The fewest copies of a block of tokens in a row that make a cycle. A cycle of p tokens is found
once it covers max(CYCLE_TOKENS, 3 p)."""
SAME_LINES = 4
"""The number of lines in a row that differ only in their numbers which make a loop."""
_LINE_LETTERS = 20
"""The fewest letters of such a line: a table of numbers is no loop."""
_NUMBER = re.compile(r"\d+")
_KEPT_CONTROLS = frozenset("\n\t")
_REPLACEMENT = "\ufffd"
_REPLACED_PART = 0.1


def cycles(tokens: Sequence[int]) -> bool:
    """Whether `tokens` end in a cycle: a block of tokens that is repeated exactly, CYCLE_COPIES
    times or more.

    It is meant to be called after every token. It takes time in proportion to the number of tokens,
    unless much is repeated.
    """
    return _period(tokens) is not None


def without_cycle(tokens: Sequence[int]) -> list[int]:
    """`tokens` up to the end of the first copy of the cycle that they end in; all of them where
    they end in none."""
    period = _period(tokens)
    if period is None:
        return list(tokens)
    first = len(tokens) - period
    while first > 0 and tokens[first - 1] == tokens[first - 1 + period]:
        first -= 1
    return list(tokens[: first + period])


def _period(tokens: Sequence[int]) -> int | None:
    for period in range(1, len(tokens) // CYCLE_COPIES + 1):
        covered = max(CYCLE_TOKENS, CYCLE_COPIES * period)
        if covered > len(tokens):
            break
        if tokens[-1] == tokens[-1 - period] and tokens[-2] == tokens[-2 - period]:
            tail = tokens[-covered:]
            if tail[period:] == tail[:-period]:
                return period
    return None


def repeats_lines(text: str) -> bool:
    """Whether the last SAME_LINES whole lines of `text` are equal except for their numbers."""
    lines = text.split("\n")[-SAME_LINES - 1 : -1]
    if len(lines) < SAME_LINES or sum(map(str.isalpha, lines[-1])) < _LINE_LETTERS:
        return False
    return len({_NUMBER.sub("0", line.strip()) for line in lines}) == 1


def printable(text: str) -> str:
    """`text` without control characters, which would command a terminal; newlines and tabs stay."""
    return "".join(c for c in text if c in _KEPT_CONTROLS or unicodedata.category(c) != "Cc")


def is_text(text: str) -> bool:
    """Whether `text` is a text: it has a letter or a digit, and few replacement characters."""
    replaced = text.count(_REPLACEMENT)
    return any(map(str.isalnum, text)) and replaced <= _REPLACED_PART * len(text)


def is_spelled_in_bytes(pieces: Sequence[bytes]) -> bool:
    """Whether a tokenizer cut a text into more `pieces` than it has characters, without spaces: the
    tokenizer's training text had no such writing, and the model behind it cannot read it."""
    characters = b"".join(pieces).decode(errors="replace")
    return sum(not piece.isspace() for piece in pieces) > sum(not c.isspace() for c in characters)
