"""Chooses the requests of a user that best show a language model how this user speaks. Knows texts,
no audio."""

from collections.abc import Iterable

from ..evaluation.text_scores import normalise

SHOWN = 20
_LONGEST_CHARACTERS = 100


def telling_requests(texts: Iterable[str], most: int = SHOWN) -> tuple[str, ...]:
    """At most `most` of `texts`, each with as many words as possible that those before it do not
    have; none twice.

    So the first few hold every kind of request, and one that is said a hundred times does not crowd
    out the rest.
    """
    words = {text: _words(text) for text in texts if len(text) <= _LONGEST_CHARACTERS}
    left = [text for text, said in words.items() if said]
    chosen: list[str] = []
    shown: set[str] = set()
    while left and len(chosen) < most:
        best = max(left, key=lambda text: len(words[text] - shown))
        if words[best] <= shown:  # all words are shown: each may come a second time
            shown = set()
            continue
        left.remove(best)
        chosen.append(best)
        shown |= words[best]
    return tuple(chosen)


def _words(text: str) -> set[str]:
    """The words of `text`; all numbers count as one word."""
    return {"0" if word.isdigit() else word for word in normalise(text).split()}
