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
_MONTHS = "january|february|march|april|may|june|july|august|september|october|november|december"
_ORDINAL = {"first": "1st", "second": "2nd", "third": "3rd"}
_ORDINALS = re.compile(rf"\b(first|second|third)(?= of (?:{_MONTHS})\b)")
_FILLERS = re.compile(r"(?:^|(?<=\s))(?:um+|uh+|er+m*|hm+|ah|oh),?(?=\s|$)")
_CLAUSE = re.compile(r"[.!?;](?:\s+|$)|[,\u2013\u2014](?:\s+|$)|\s+(?:so|because|but|then)\s+")
_MOST_CLAUSES = 5
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}\b)")
_COMMA = re.compile(r",\s+(?:and\s+)?")
_HYPHEN = re.compile(r"(?<=[a-z])-(?=[a-z])|(?<=\d)-(?=[a-z])")
_BEFORE = re.compile(
    r"^(?:(?:please|hey|ok|okay|so|well|(?:hi|hello|good (?:morning|evening)) attune|attune"
    r"|now|and|also|just|quickly"
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


def runs_of_clauses(heard: str) -> list[str]:
    """Return the parts of `heard` between its marks, as abilities know them: people tell a story
    around their request. The longest runs of clauses first, and the last before the first."""
    clauses = [clause for clause in _CLAUSE.split(heard) if clause and clause.strip()]
    clauses = clauses[-_MOST_CLAUSES:]
    if len(clauses) < 2:
        return []
    runs = [
        " and ".join(clauses[start : start + length])
        for length in range(len(clauses) - 1, 0, -1)
        for start in range(len(clauses) - length, -1, -1)
    ]
    return list(dict.fromkeys(form for run in runs for form in plain_requests(run) if form))


def _plain(text: str) -> str:
    text = _ORDINALS.sub(lambda found: _ORDINAL[found[1]], _FILLERS.sub(" ", text))
    text = " ".join(_SHORT.get(word.strip(".,!?;:"), word) for word in text.split())
    text = " ".join(numbers_in_digits(text.replace(" and a half", " and-a-half")).split())
    text = text.replace("and-a-half", "and a half")
    text = " ".join(_MARKS.sub(" ", text).split())
    bare = _AFTER.sub("", _BEFORE.sub("", text + " ").strip())
    return bare or text
