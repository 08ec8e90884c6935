"""Whether a text can be what was said in a recording, told from the text and the recording's length
alone. Knows no models.

A label that cannot be true teaches something false, and as a held-out one it judges falsely. What
is found here is certain: every text that somebody could have said passes. Whether it was said in
this very recording only the sound can tell (`calibration/round/compare_labels.py`).

Recogniser, language model and pronunciations are English: numbers are spoken as in English, and
only Latin letters can be heard.
"""

import re
import unicodedata
from functools import lru_cache
from typing import Literal

import numpy as np

from engines.alignment.number_normalisation import numbers_in_words
from engines.types import SAMPLE_RATE_HZ, Float32

LabelFault = Literal[
    "wordless", "unspeakable", "script", "too_fast", "silent", "contradicted", "doubted"
]
"""Why a label cannot be true: it has no word; it has characters that nobody says; it is in a script
that no model here reads; its recording is too short for it; its recording is silent; two texts were
given for one recording; other labels fit its recording better."""

TOLD: dict[str, str] = {
    "wordless": "it has no word that anybody could say",
    "unspeakable": "it has control characters or a model's control tokens, which nobody says",
    "script": "it is in a script that the models here cannot have heard; they know English",
    "too_fast": "nobody says as much in a recording so short",
    "silent": "its recording is silent",
    "contradicted": "another text was given for the same recording",
    "doubted": "it does not fit its recording, which other labels fit better",
}
"""Each LabelFault for people, as the end of a sentence about the label."""

MOST_LETTERS_PER_SECOND = 30.0
"""Of the text as spoken. Ordinary speech has 12 to 15, auctioneers about 25."""
SPARE_LETTERS = 24
"""More than that rate allows: a recording may be cut within its first and last word, and spelling
has letters that are not said."""
SILENCE_RMS = 0.001
"""Root mean square of the loudest 30 ms, full scale being 1, below which a recording has nothing in
it: -60 dB."""
_LONGEST_CHARACTERS = 4000
"""Of a text that is looked at: what is longer is too long for any recording that is taken."""
_FOREIGN_SHARE = 0.2
"""Of letters that are not Latin: a single "π" in an English sentence is heard."""
_CONTROL_TOKEN = re.compile(r"<\|[^<>|]*\|>|\[/?INST\]|</?s>")
_DIRECTION_MARKS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_WORD = re.compile(r"\w+(?:'\w+)*")
_WINDOW_SAMPLES = SAMPLE_RATE_HZ * 30 // 1000


@lru_cache(maxsize=1 << 16)
def label_fault(text: str, seconds: float = 0.0) -> LabelFault | None:
    """Why `text` cannot be what was said in `seconds` of sound; None where it can. 0 seconds:
    nobody measured them.

    Raises nothing, whatever the text.
    """
    if any(
        unicodedata.category(character) in ("Cc", "Cs") and not character.isspace()
        for character in text
    ):
        return "unspeakable"
    if _CONTROL_TOKEN.search(text) or not _DIRECTION_MARKS.isdisjoint(text):
        return "unspeakable"
    plain = unicodedata.normalize("NFKC", text[:_LONGEST_CHARACTERS])
    letters = [character for character in plain if character.isalpha()]
    if not letters and not any(character.isdecimal() for character in plain):
        return "wordless"
    if sum(not _is_latin(letter) for letter in letters) > _FOREIGN_SHARE * len(letters):
        return "script"
    if seconds > 0 and spoken_letters(plain) > MOST_LETTERS_PER_SECOND * seconds + SPARE_LETTERS:
        return "too_fast"
    return None


def spoken_letters(text: str) -> int:
    """Letters and digits of `text` once its numbers are written in words."""
    return sum(character.isalnum() for character in numbers_in_words(text))


def spoken_words(text: str) -> tuple[str, ...]:
    """The words of `text` as they are said: numbers in words, no capitals, no punctuation."""
    return tuple(_WORD.findall(numbers_in_words(text).lower()))


def same_words(one: str, other: str) -> bool:
    """Whether two texts are said alike."""
    return spoken_words(one) == spoken_words(other)


def is_silent(samples: Float32) -> bool:
    """Whether [N] mono samples at SAMPLE_RATE_HZ have nothing in them, not even the noise of a room
    with somebody in it."""
    if not len(samples):
        return True
    windows = -(-len(samples) // _WINDOW_SAMPLES)
    padded = np.zeros(windows * _WINDOW_SAMPLES, np.float64)
    padded[: len(samples)] = samples
    return bool(np.sqrt((padded.reshape(windows, -1) ** 2).mean(axis=1)).max() < SILENCE_RMS)


def _is_latin(letter: str) -> bool:
    return letter.isascii() or unicodedata.name(letter, "").startswith(
        ("LATIN ", "MODIFIER LETTER ")
    )
