"""Checks whether a text can be what was said in a recording, from the text and the recording's
length alone. Knows no models.

A label that cannot be true teaches something false, and as a held-out label it judges falsely. The
faults found here are certain: every text that a person could have said passes. Only the sound can
tell whether it was said in this recording (`calibration/round/compare_labels.py`).

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
"""Why a label cannot be true: it has no word; it has characters that cannot be spoken; it is in a
script that no model here reads; its recording is too short for it; its recording is silent; two
texts were given for one recording; other labels fit its recording better."""

TOLD: dict[str, str] = {
    "wordless": "it has no word that can be spoken",
    "unspeakable": "it has control characters or a model's control tokens",
    "script": "it is in a script that the models here cannot have heard; they know English",
    "too_fast": "its recording is too short for so many words",
    "silent": "its recording is silent",
    "contradicted": "another text was given for the same recording",
    "doubted": "it does not fit its recording, which other labels fit better",
}
"""A clause about the label for each LabelFault, for the user."""

MOST_LETTERS_PER_SECOND = 30.0
"""Most letters of the text as spoken per second. Ordinary speech has 12 to 15, auctioneers about
25."""
SPARE_LETTERS = 24
"""Letters allowed beyond that rate: a recording may be cut within its first and last word, and
spelling has letters that are not spoken."""
SILENCE_RMS = 0.001
"""A recording is silent if the root mean square of its loudest 30 ms, full scale being 1, is below
this: -60 dB."""
_LONGEST_CHARACTERS = 4000
"""Characters of a text that are checked. A longer text does not fit any recording that is taken."""
_FOREIGN_SHARE = 0.2
"""Largest allowed share of letters that are not Latin: a single "π" in an English sentence can be
spoken."""
_CONTROL_TOKEN = re.compile(r"<\|[^<>|]*\|>|\[/?INST\]|</?s>")
_DIRECTION_MARKS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_WORD = re.compile(r"\w+(?:'\w+)*")
_WINDOW_SAMPLES = SAMPLE_RATE_HZ * 30 // 1000


@lru_cache(maxsize=1 << 16)
def label_fault(text: str, seconds: float = 0.0) -> LabelFault | None:
    """Return why `text` cannot be what was said in `seconds` of sound; None if it can. 0 seconds
    mean that the length was not measured.

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
    """Count the letters and digits of `text` once its numbers are written in words."""
    return sum(character.isalnum() for character in numbers_in_words(text))


def spoken_words(text: str) -> tuple[str, ...]:
    """Return the words of `text` as they are spoken: numbers in words, no capitals, no
    punctuation."""
    return tuple(_WORD.findall(numbers_in_words(text).lower()))


def same_words(one: str, other: str) -> bool:
    """Return whether two texts are spoken alike."""
    return spoken_words(one) == spoken_words(other)


def is_silent(samples: Float32) -> bool:
    """Return whether [N] mono samples at SAMPLE_RATE_HZ are silent: without even the noise of a
    room with a person in it."""
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
