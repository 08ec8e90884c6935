"""Everyday words in classes, from WordNet: what is eaten, what is used, who does what. Knows no
templates.

Only words that are one entry of the language model's vocabulary are taken. Frequent words are drawn
more often: byte-pair encodings number their entries by how early they were merged, which follows
their frequency.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass

from .texts import wordnet_lines

_FILES = {
    "noun": {
        **dict.fromkeys((4, 9, 10, 12, 26), "topic"),
        **dict.fromkeys((6, 27), "thing"),
        5: "animal",
        8: "body",
        13: "food",
        15: "place",
        18: "person",
        20: "plant",
    },
    "verb": dict.fromkeys((30, 35, 36, 38, 39, 40), "verb"),
}
"""The lexicographer files of WordNet (lexnames(5WN)) whose words are taken, by the sense that it
lists first."""
_UNWELCOME = frozenset(
    "ass bitch bastard bugger cock cocaine dick heroin lesbian moll negro pee pussy screw slut"
    " whore".split()
)
_EVENNESS = 1500
"""The number added to a word's number before it is weighed by its inverse: the first word is drawn
twenty times as often as the last."""


@dataclass(frozen=True)
class WordClasses:
    """The words of each class, and how often each is drawn."""

    words: Mapping[str, tuple[str, ...]]
    weights: Mapping[str, tuple[float, ...]]

    def draw(self, name: str, rng: random.Random) -> str:
        """One word of the class `name`."""
        return rng.choices(self.words[name], self.weights[name])[0]


def word_classes(entries: Mapping[str, int]) -> WordClasses:
    """The classes of `entries`, words with their numbers in the vocabulary; the class `name` has
    those with a capital.

    Raises AttuneError where WordNet is not installed.
    """
    found: dict[str, dict[str, int]] = {
        "name": {word: number for word, number in entries.items() if word.istitle()}
    }
    for kind, classes in _FILES.items():
        senses = _first_senses(kind)
        for word, number in entries.items():
            # "carrots" is food, too.
            file = senses.get(word, senses.get(word.removesuffix("s")) if kind == "noun" else None)
            if file in classes and word not in _UNWELCOME:
                found.setdefault(classes[file], {})[word] = number
    words = {name: tuple(sorted(some)) for name, some in found.items()}
    weights = {
        name: tuple(1 / (_EVENNESS + found[name][word]) for word in some)
        for name, some in words.items()
    }
    return WordClasses(words, weights)


def _first_senses(kind: str) -> dict[str, int]:
    """The lexicographer file of the first sense of each lemma."""
    file_at = {
        line.split(" ", 1)[0]: int(line.split(" ", 2)[1]) for line in wordnet_lines("data", kind)
    }
    senses = {}
    for line in wordnet_lines("index", kind):
        # lemma, part of speech, senses, pointers, the pointers, senses, tagged senses, the offsets
        fields = line.split()
        senses[fields[0]] = file_at[fields[6 + int(fields[3])]]
    return senses
