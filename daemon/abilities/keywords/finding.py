"""Finds words, lengths of time and moments anywhere in a sentence. Pure; takes the form that
`sentences/plain_request.py` makes."""

import re
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from ...alarms.spoken_times import WEEKDAYS, duration, moment

Wanted = tuple[str, dict[str, str]]
"""An intent of an ability, and what stands in its slots."""

CANCEL = (
    "cancel|stop|delete|remove|clear|drop|scrap|scratch|bin|kill|abort|end|forget|lose|ditch"
    "|get rid|rid of|do not need|no longer need|no need|can go(?! off)|not needed|not wanted"
    "|need not|needn't|do not bother|not bother"
    "|turn off|switch off|off|call off|never mind|take away|dismiss|undo"
)
ALL = "all|every|both|everything|each|any"
ASK = (
    "what|which|when|how|is|are|do|does|did|have|has|any|tell|list|show|read|check|who|remind me"
    " what|whats|left|will|am"
)
NOT = "do not|never|not"
_LONGEST = 12
AT = re.compile(r"^(?:at|for|by|until|till|to|from|around|about|before) ")
_CLOCK_WORD = re.compile(
    r"[:.]|\b(?:am|pm|o'?clock|half|quarter|past|noon|midday|midnight|morning|afternoon|evening"
    r"|night|tonight|tomorrow|today|every|daily|weekdays?|weekends?|in|from|"
    + "|".join(f"{day}s?" for day in WEEKDAYS)
    + r"|january|february|march|april|may|june|july|august|september|october|november|december"
    r"|\d+(?:st|nd|rd|th))\b"
)

DAY_WORD = re.compile(
    r"\b(?:on )?(?:the day after tomorrow|tomorrow|today|tonight|(?:every |next |this )?(?:"
    + "|".join(WEEKDAYS)
    + r")s?|every (?:day|morning|evening|night)|daily|every weekday|weekdays|every weekend|weekends"
    r"|(?:the )?\d+(?:st|nd|rd|th)|the (?:first|second|third)$"
    r"(?: of (?:january|february|march|april|may|june|july|august|september|october|november"
    r"|december))?)\b"
)
MONTH = re.compile(
    r"\b(?:in|of) (january|february|march|april|may|june|july|august|september|october|november"
    r"|december)\b"
)


@lru_cache(maxsize=512)
def _pattern(phrases: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![\w'])(?:{phrases})(?![\w'])")


def has(text: str, phrases: str) -> bool:
    """Whether one of `phrases`, with bars between them, stands in `text`."""
    return _pattern(phrases).search(text) is not None


def without(text: str, phrases: str) -> str:
    """Return `text` without `phrases`."""
    return " ".join(_pattern(phrases).sub(" ", text).split())


def length_in(text: str) -> str | None:
    """The longest length of time in `text`, as it is said; None if there is none."""
    words = text.split()
    best: str | None = None
    for start in range(len(words)):
        for end in range(min(len(words), start + _LONGEST), start, -1):
            part = " ".join(words[start:end])
            read = duration(part)
            if read is not None and not read[1]:
                if best is None or len(part) > len(best):
                    best = part
                break
    return best


@dataclass(frozen=True)
class FoundMoment:
    """A moment in a sentence."""

    said: str
    """The words that name it, in one piece."""
    pieces: tuple[str, ...]
    """The same as they stand in the sentence."""

    def taken_from(self, text: str) -> str:
        """Return `text` without it."""
        for piece in self.pieces:
            text = text.replace(piece, " ", 1)
        return " ".join(text.split())


def moment_in(text: str, now: datetime, *, morning: bool = False) -> FoundMoment | None:
    """The moment in `text`; None if there is none. A number alone is one only after "at" or the
    like. One at the end of the sentence, or at its beginning, is meant rather than others, and a
    long one rather than a short one. A day in another place belongs to it."""
    words = text.split()
    spans = []
    for start in range(len(words)):
        for end in range(min(len(words), start + _LONGEST), start, -1):
            part = " ".join(words[start:end])
            if not AT.match(part) and not _CLOCK_WORD.search(part):
                continue
            if moment(AT.sub("", part), now, morning=morning) is not None:
                spans.append((end == len(words), start == 0, end - start, start, end))
                break
    if not spans:
        return None
    *_, start, end = max(spans, key=lambda one: (one[2] + 2 * one[0] + one[1], one[3]))
    part = " ".join(words[start:end])
    said = AT.sub("", part)
    if not DAY_WORD.search(said) and not said.startswith("in "):
        rest = " ".join([*words[:start], ",", *words[end:]])
        for day in DAY_WORD.finditer(rest):
            whole = f"{said} {day[0]}"
            if moment(whole, now, morning=morning) is not None:
                return FoundMoment(whole, (part, day[0]))
    return FoundMoment(said, (part,))


def names_no_day(said: str) -> bool:
    """Whether a moment is said without its day."""
    return DAY_WORD.search(said) is None and not said.startswith("in ")


def lengths_in(text: str) -> list[str]:
    """All lengths of time in `text`, as they are said."""
    found = []
    while (length := length_in(text)) is not None:
        found.append(length)
        text = text.replace(length, " , ", 1)
    return found
