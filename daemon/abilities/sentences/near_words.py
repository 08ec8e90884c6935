"""Puts words that templates know in the place of words that look or sound like them: "set a timew
fow five minutes". Pure.

Only a word that no template knows is exchanged, and only for one that is nearly the same, so that
what is said of other things stays what it is.
"""

import re
from collections.abc import Iterable, Iterator
from difflib import SequenceMatcher
from itertools import product

LEAST_ALIKE = 0.8
"""How alike two words have to be, from 0 to 1."""
_MOST_EXCHANGED = 3
_MOST_CHOICES = 3
_MOST_SENTENCES = 24
_WORD = re.compile(r"[a-z']+")
_SOUNDS = (
    (re.compile(r"([aeiou])r\b"), r"\1w"),  # timer, timew
    (re.compile(r"ph"), "f"),
    (re.compile(r"th"), "d"),
    (re.compile(r"ck|c(?![ieyh])|qu?"), "k"),
    (re.compile(r"c(?=[iey])"), "s"),
    (re.compile(r"z"), "s"),
    (re.compile(r"[lr]"), "w"),
    (re.compile(r"v"), "b"),
    (re.compile(r"ee|ea|ie|ey"), "i"),
    (re.compile(r"oo|ou"), "u"),
    (re.compile(r"(.)\1"), r"\1"),
)
"""Sounds that recognisers and unusual voices exchange, brought to one letter."""


class NearWords:
    """The words of some templates, ready to be compared with."""

    def __init__(self, templates: Iterable[str]) -> None:
        words = {
            word
            for template in templates
            for word in _WORD.findall(re.sub(r"\{[^}]*\}|<[^>]*>", " ", template))
        }
        self._known = frozenset(words)
        self._long = sorted(word for word in words if len(word) > 2)
        self._sounds = {word: _sound(word) for word in self._long}

    def sentences(self, text: str) -> Iterator[str]:
        """Yield sentences like `text` in which words that are not known were exchanged, those with
        the fewest exchanges first."""
        words = text.split()
        choices: list[list[str]] = []
        for word in words:
            near = [] if word in self._known or not word.isalpha() else self._near(word)
            choices.append([word, *near])
        made = []
        for combination in product(*(range(len(choice)) for choice in choices)):
            changes = sum(place > 0 for place in combination)
            if 0 < changes <= _MOST_EXCHANGED:
                made.append((changes, sum(combination), combination))
            if len(made) > 500:
                break
        for _, _, combination in sorted(made)[:_MOST_SENTENCES]:
            yield " ".join(
                choice[place] for choice, place in zip(choices, combination, strict=True)
            )

    def _near(self, word: str) -> list[str]:
        if len(word) < 2:
            return []
        sound = _sound(word)
        found = []
        for known in self._long:
            if abs(len(known) - len(word)) > 2:
                continue
            alike = max(
                SequenceMatcher(None, word, known).ratio(),
                SequenceMatcher(None, sound, self._sounds[known]).ratio(),
            )
            if alike >= LEAST_ALIKE:
                found.append((-alike, known))
        return [known for _, known in sorted(found)[:_MOST_CHOICES]]


def _sound(word: str) -> str:
    for pattern, instead in _SOUNDS:
        word = pattern.sub(instead, word)
    return word
