"""Normalises sentences for projectors, which learn them as they are said inside another sentence.
Knows texts and tokens, no audio.

A word at the start of a text has tokens of its own ("Find" without a space; "Inv" and "ite"), which
a projector would have to learn apart from " find" and " invite", though they sound the same; and
nobody says "2" and "5" for 25. So it learns " find" and " twenty five", and its readings are
written as sentences again before the language model reads them.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from difflib import SequenceMatcher

from ..llm.vocabulary import Vocabulary
from ..types import SoftTokens
from .number_normalisation import numbers_in_digits, numbers_in_words

_I = re.compile(r"I\b")


def spoken_tokens(text: str, vocabulary: Vocabulary) -> list[int]:
    """The token ids of `text` as it is said inside a sentence: after a space, its first word in
    lower case, its numbers in words.

    The first word keeps its capital where it takes fewer tokens with it (a name), or is "I". A
    blank text has no tokens.
    """
    stripped = numbers_in_words(text.strip())
    if not stripped:
        return []
    as_it_is, lower = f" {stripped}", f" {stripped[0].lower()}{stripped[1:]}"
    if _I.match(stripped):
        return vocabulary.tokenize(as_it_is)
    return min(vocabulary.tokenize(lower), vocabulary.tokenize(as_it_is), key=len)


def written_tokens(tokens: Sequence[int], vocabulary: Vocabulary) -> list[int]:
    """The token ids of the written sentence for spoken `tokens`: " Find" for " find", numbers in
    digits."""
    said = vocabulary.detokenize(tokens).strip()
    return vocabulary.tokenize(numbers_in_digits(said[:1].upper() + said[1:]))


def as_written(reading: SoftTokens, vocabulary: Vocabulary) -> SoftTokens:
    """A reading of spoken tokens as a reading of written ones. A written token that stands for
    several spoken ones is as probable as the least probable of them."""
    if not reading.tokens:
        return reading
    tokens = tuple(written_tokens(reading.tokens, vocabulary))
    blocks = SequenceMatcher(None, reading.tokens, tokens, autojunk=False).get_opcodes()

    def carried(values: tuple[float, ...] | None) -> tuple[float, ...] | None:
        if values is None:
            return None
        found: list[float] = []
        for _, start, end, written_start, written_end in blocks:
            count = written_end - written_start
            least = min(values[start : max(end, start + 1)] or values[-1:])
            found += values[start:end] if count == end - start else [least] * count
        return tuple(found)

    return replace(
        reading,
        vectors=vocabulary.rows(tokens),
        tokens=tokens,
        log_probabilities=carried(reading.log_probabilities),
        confidences=carried(reading.confidences),
    )
