"""Sentences as projectors learn them: as if they stood inside of another. Knows texts and tokens, no audio.

A word at the start of a text has tokens of its own ("Find" without a space; "Inv" and "ite"), which a projector would have to
learn apart from " find" and " invite", though they sound the same. So it learns the latter, and what it read is written as a
sentence again before the language model reads it.
"""

import re
from collections.abc import Sequence
from dataclasses import replace

from .types import SoftTokens
from .vocabulary import Vocabulary

_I = re.compile(r"I\b")


def spoken_tokens(text: str, vocabulary: Vocabulary) -> list[int]:
    """Token ids of `text` as it would stand inside a sentence: after a space, its first word in lower case.

    The word keeps its capital where it takes fewer tokens with it (a name), or is "I". Nothing for a text of blanks.
    """
    stripped = text.strip()
    if not stripped:
        return []
    as_it_is, lower = f" {stripped}", f" {stripped[0].lower()}{stripped[1:]}"
    if _I.match(stripped):
        return vocabulary.tokenize(as_it_is)
    return min(vocabulary.tokenize(lower), vocabulary.tokenize(as_it_is), key=len)


def written_tokens(tokens: Sequence[int], vocabulary: Vocabulary) -> list[int]:
    """Spoken tokens with the first one replaced by those that begin a sentence: "Find" for " find"."""
    first = vocabulary.detokenize(tokens[:1]).strip()
    if not first and len(tokens) > 1:  # a vocabulary in which a space is a token of its own
        return written_tokens(tokens[1:], vocabulary)
    if not first[:1].isalpha():  # nothing to write in capitals; or part of a character
        return list(tokens)
    return [*vocabulary.tokenize(first[:1].upper() + first[1:]), *tokens[1:]]


def as_written(reading: SoftTokens, vocabulary: Vocabulary) -> SoftTokens:
    """A reading of spoken tokens as one of written ones; where the first becomes several, each is as probable."""
    if not reading.tokens:
        return reading
    tokens = tuple(written_tokens(reading.tokens, vocabulary))
    more = len(tokens) - len(reading.tokens)

    def stretched(values: tuple[float, ...] | None) -> tuple[float, ...] | None:
        return values if values is None else (*values[:1] * (1 + more), *values[1:])

    return replace(
        reading,
        vectors=vocabulary.rows(tokens),
        tokens=tokens,
        log_probabilities=stretched(reading.log_probabilities),
        confidences=stretched(reading.confidences),
    )
