"""Brings what was heard to the form that abilities know: small letters, numbers in digits, without
marks and courtesies. Pure."""

import re

from engines.alignment.number_normalisation import numbers_in_digits

_SHORT = {
    "what's": "what is",
    "whats": "what is",
    "who's": "who is",
    "where's": "where is",
    "when's": "when is",
    "how's": "how is",
    "it's": "it is",
    "there's": "there is",
    "that's": "that is",
    "i'm": "i am",
    "i'd": "i would",
    "i've": "i have",
    "i'll": "i will",
    "don't": "do not",
    "dont": "do not",
    "can't": "can not",
    "cannot": "can not",
    "isn't": "is not",
    "didn't": "did not",
    "let's": "let us",
}
_MERIDIEM = re.compile(r"\b([ap])\s?\.?\s?m\b\.?")
_MARKS = re.compile(r"(?<!\d)[.:,](?!\d)|[.:,](?!\d)|(?<!\d)[.:,]|[^\w\s.:,%°$£€'+*/\u00d7\u00f7-]")
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}\b)")
_COMMA = re.compile(r",\s+(?:and\s+)?")
_HYPHEN = re.compile(r"(?<=[a-z])-(?=[a-z])|(?<=\d)-(?=[a-z])")
_BEFORE = re.compile(
    r"^(?:(?:please|hey|hi|hello|ok|okay|so|well|um|uh|er|attune|now|and|also|just|quickly"
    r"|(?:can|could|would|will) you(?: please| just| maybe)*(?: go ahead and)?"
    r"|(?:can|could|may) (?:i|we) (?:ask you to|get you to)"
    r"|would you mind|do you mind|i (?:want|need) you to|i would like you to"
    r"|do me a favou?r and|be so kind (?:and|as to)|be a dear and|kindly"
    r"|i was wondering if you could|go ahead and) )+"
)
_AFTER = re.compile(
    r"(?: (?:please|thanks|thank you|attune|would you|will you|could you|can you|for me|if you can"
    r"|if you could|if you would|right away|ok|okay|and))+$"
)


def plain_requests(heard: str) -> list[str]:
    """Return `heard` in the forms that abilities know: with "and" for each comma, if there is one,
    as between the things of a list; and without commas. They may be empty."""
    text = heard.lower().replace("\u2019", "'").replace("\u2013", "-").replace("\u2212", "-")
    text = _MERIDIEM.sub(r"\1m", text)
    text = _THOUSANDS.sub("", text)
    text = _HYPHEN.sub(" ", text)
    forms = [_COMMA.sub(" and ", text), text] if _COMMA.search(text) else [text]
    return [_plain(form) for form in forms]


def _plain(text: str) -> str:
    text = " ".join(_SHORT.get(word.strip(".,!?;:"), word) for word in text.split())
    text = " ".join(numbers_in_digits(text.replace(" and a half", " and-a-half")).split())
    text = text.replace("and-a-half", "and a half")
    text = " ".join(_MARKS.sub(" ", text).split())
    bare = _AFTER.sub("", _BEFORE.sub("", text + " ").strip())
    return bare or text
