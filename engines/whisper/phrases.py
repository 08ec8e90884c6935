"""The words and names that a user expects to be heard, and where a text has them. Knows letters, no
sound."""

import re
from collections.abc import Iterator, Sequence

from ..schema import Frozen

_WORD = re.compile(r"[^\W_]+(?:[^\w\s][^\W_]+)*")


class Phrase(Frozen):
    """A word, or a few, that the user expects to be heard: a name, a room, a medicine, a song."""

    text: str
    weight: float = 1.0
    """How much more it is expected than other words; 0 not at all, 1 as usual."""
    heard_as: tuple[str, ...] = ()
    """What was heard in recordings of it."""


class PhraseBook:
    """The phrases of a user, ready to be looked for."""

    def __init__(self, phrases: Sequence[Phrase] = ()) -> None:
        self.phrases = tuple(phrases)
        self._by_key = {_key(phrase.text): phrase for phrase in phrases}
        self._by_heard = {_key(heard): phrase for phrase in phrases for heard in phrase.heard_as}
        self._longest = max(
            (len(_words(text)) for phrase in phrases for text in (phrase.text, *phrase.heard_as)),
            default=0,
        )
        """The number of words of the longest phrase, or of what was heard of one."""

    def __bool__(self) -> bool:
        return bool(self.phrases)

    @property
    def texts(self) -> list[str]:
        """The phrases as they are written."""
        return [phrase.text for phrase in self.phrases]

    def and_also(self, texts: Sequence[str]) -> "PhraseBook":
        """These phrases and `texts`, with the usual weight."""
        known = set(self.texts)
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

    def meant_by(self, text: str) -> list[str]:
        """`text` with one phrase in place of what was heard in a recording of it, once for each
        place."""
        return [
            text[:start] + phrase.text + text[end:]
            for start, end in self._spans(text)
            if (phrase := self._by_heard.get(_key(text[start:end]))) is not None
        ]

    def _spans(self, text: str) -> Iterator[tuple[int, int]]:
        """The start and the end of each run of words that is as long as a phrase at most."""
        words = _words(text)
        for first in range(len(words)):
            for last in range(first, min(first + self._longest, len(words))):
                yield words[first].start(), words[last].end()


NO_PHRASES = PhraseBook()


def _words(text: str) -> list["re.Match[str]"]:
    return list(_WORD.finditer(text))


def _key(text: str) -> str:
    """The letters and digits of `text`, without case and spaces."""
    return "".join(letter for letter in text.casefold() if letter.isalnum())
