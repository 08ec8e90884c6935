"""The words and names that a user expects to be heard, and the places of a transcript where one of
them may have been misheard. Knows letters, no sound."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from heapq import nlargest

from ..schema import Frozen

_WORD = re.compile(r"[^\W_]+(?:[^\w\s][^\W_]+)*")
LEAST_SIMILARITY = 0.5
"""The least share of letters, 0 to 1, that a phrase and what was heard in its place have in
common, in order."""
_LEAST_COMMON_PAIRS = 0.2
"""The same for pairs of letters, which are compared first, because that is quick."""
_MORE_WORDS = 2
"""By how many words what was heard may be longer than the longest phrase: a name that nobody told
the recogniser falls into pieces."""


class Phrase(Frozen):
    """A word, or a few, that the user expects to be heard: a name, a room, a medicine, a song."""

    text: str
    weight: float = 1.0
    """How much more it is expected than other words; 0 not at all, 1 as usual."""
    heard_as: tuple[str, ...] = ()
    """What was heard in recordings of it."""


@dataclass(frozen=True)
class Replacement:
    """A transcript with a phrase in place of some of its words."""

    text: str
    similarity: float
    """The share of letters that the phrase and the words have in common, 0 to 1."""


class PhraseBook:
    """The phrases of a user, ready to be looked for."""

    def __init__(self, phrases: Sequence[Phrase] = ()) -> None:
        self.phrases = tuple(phrases)
        self._by_key = {_key(phrase.text): phrase for phrase in phrases}
        self._spelled = [
            (_key(spelled), phrase.text) for phrase in phrases for spelled in _spellings(phrase)
        ]
        self._longest = max(
            (len(_words(spelled)) for phrase in phrases for spelled in _spellings(phrase)),
            default=0,
        )
        """The number of words of the longest spelling."""
        self._with_pair: dict[str, list[int]] = defaultdict(list)
        for place, (key, _) in enumerate(self._spelled):
            for pair in _pairs(key):
                self._with_pair[pair].append(place)

    def __bool__(self) -> bool:
        return bool(self.phrases)

    def and_also(self, texts: Sequence[str]) -> "PhraseBook":
        """These phrases and `texts`, with the usual weight."""
        known = {phrase.text for phrase in self.phrases}
        added = [Phrase(text=text) for text in dict.fromkeys(texts) if text not in known]
        return PhraseBook([*self.phrases, *added]) if added else self

    def phrases_in(self, text: str) -> list[Phrase]:
        """The phrases in `text`; each of its words belongs to the longest one."""
        words = [word.group() for word in _words(text)]
        found, place = [], 0
        while place < len(words):
            step = 1
            for count in range(min(self._longest, len(words) - place), 0, -1):
                phrase = self._by_key.get(_key(" ".join(words[place : place + count])))
                if phrase is not None:
                    found.append(phrase)
                    step = count
                    break
            place += step
        return found

    def replacements(self, text: str, most: int) -> list[Replacement]:
        """`text` with one phrase in place of words that are spelled like it, the most similar
        first, at most `most` of them."""
        found = {
            text[: first.start()] + phrase + text[last.end() :]: similarity
            for first, last, span in self._spans(text)
            for phrase, similarity in self._similar(span)
        }
        best = nlargest(most, found.items(), key=lambda one: one[1])
        return [Replacement(made, similarity) for made, similarity in best]

    def _spans(self, text: str) -> Iterator[tuple["re.Match[str]", "re.Match[str]", str]]:
        words = _words(text)
        for start in range(len(words)):
            for end in range(start, min(start + self._longest + _MORE_WORDS, len(words))):
                first, last = words[start], words[end]
                yield first, last, _key(text[first.start() : last.end()])

    def _similar(self, span: str) -> Iterator[tuple[str, float]]:
        """The phrases that are spelled like `span`, but not those that are it."""
        pairs = _pairs(span)
        common = Counter(place for pair in pairs for place in self._with_pair.get(pair, ()))
        for place, count in common.items():
            key, phrase = self._spelled[place]
            if 2 * count < _LEAST_COMMON_PAIRS * (len(pairs) + len(key) + 1):
                continue
            if span == _key(phrase):
                continue
            similarity = SequenceMatcher(None, span, key, autojunk=False).ratio()
            if similarity >= LEAST_SIMILARITY:
                yield phrase, similarity


NO_PHRASES = PhraseBook()


def _spellings(phrase: Phrase) -> tuple[str, ...]:
    return (phrase.text, *phrase.heard_as)


def _words(text: str) -> list["re.Match[str]"]:
    return list(_WORD.finditer(text))


def _key(text: str) -> str:
    """The letters and digits of `text`, without case and spaces."""
    return "".join(letter for letter in text.casefold() if letter.isalnum())


def _pairs(key: str) -> set[str]:
    """The pairs of neighbouring letters, with a mark before the first and after the last."""
    marked = f"<{key}>"
    return {marked[place : place + 2] for place in range(len(marked) - 1)}
