"""Converts numbers between the way they are said and the way they are written. Knows English texts,
no tokens.

A vocabulary that splits "25" into its digits gives two units to a word that sounds like neither of
them, and a "20" ends in a digit that nobody says. So projectors learn "twenty five", and the
language model and transcripts get the 25 back.
"""

import re
from functools import lru_cache

from text_to_num import alpha2digit

_NUMBER = re.compile(
    r"(?<![\w.,:\u2013-])(?P<minus>[-\u2212])?(?P<money>[$£€])?"
    r"(?:(?P<hour>1?\d|2[0-3]):(?P<minute>[0-5]\d)|(?P<digits>\d{1,3}(?:,\d{3})+|\d+)(?P<fraction>\.\d+)?)"
    r"(?P<ordinal>st|nd|rd|th)?(?P<unit> ?%| ?°[CF]?)?(?![\w:\u2013-])(?![.,]\d)"
)
_CURRENCIES = {"$": "dollars", "£": "pounds", "€": "euros"}
_UNITS = {"%": "percent", "°": "degrees", "°C": "degrees", "°F": "degrees"}
_PHONE = re.compile(r"(?<![\w.,\u2013-])\d{3}-(?:\d{3}-)?\d{4}(?![\w\u2013-])")
_RANGE = re.compile(r"(?<![\w.,\u2013-])(\d+)[\u2013-](\d+)(?![\w\u2013-])")
_YEARS = range(1100, 2100)
_ONE_BY_ONE_FROM_DIGITS = 7
"""The number of digits from which on they are said one by one, as they are where the number begins
with a zero."""
_MOST_DIGITS = 15
"""The most digits that are said as one number where commas, an ordinal or a fraction show that it
is one."""
_CLOCK = re.compile(r"\b([1-9]|1[0-2]) (?:([1-5]\d)|oh ([1-9]))\b(?! ?%)")
_YEAR = re.compile(r"\b(1[1-9]|20) (\d\d)\b")


def numbers_in_words(text: str) -> str:
    """`text` with numbers, times, sums of money and years in words, as an American says them. What
    is no number by itself ("MP3") stays."""
    text = _PHONE.sub(lambda found: _one_by_one(found[0].replace("-", "")), text)
    return _NUMBER.sub(_said, _RANGE.sub(r"\1 to \2", text))


def numbers_in_digits(text: str) -> str:
    """`text` with spelled numbers in digits, except "one" to "three" on their own, which are seldom
    meant as numbers."""
    spelled = str(alpha2digit(text, "en"))
    clock = _CLOCK.sub(lambda found: f"{found[1]}:{found[2] or '0' + found[3]}", spelled)
    return _YEAR.sub(r"\1\2", clock)


def _said(number: re.Match[str]) -> str:
    if number["hour"]:
        return " ".join([_cardinal(int(number["hour"])), *_minutes(number["minute"])])
    before = ["minus"] if number["minus"] else []
    after = [_CURRENCIES[number["money"]]] if number["money"] else []
    after += [_UNITS[number["unit"].strip()]] if number["unit"] else []
    return " ".join([*before, _said_number(number), *after])


def _said_number(number: re.Match[str]) -> str:
    grouped, digits, fraction = (
        "," in number["digits"],
        number["digits"].replace(",", ""),
        (number["fraction"] or "")[1:],
    )
    whole = grouped or number["ordinal"] or fraction
    too_long = len(digits) > (_MOST_DIGITS if whole else _ONE_BY_ONE_FROM_DIGITS - 1)
    if too_long or (not whole and digits[0] == "0" and digits != "0"):
        return _one_by_one(digits + fraction)
    value = int(digits)
    if number["ordinal"]:
        return _in_words(value, "ordinal")
    if fraction:
        return f"{_cardinal(value)} point {_one_by_one(fraction)}"
    if value in _YEARS and not grouped and not number["money"]:
        return _in_words(value, "year")
    return _cardinal(value)


def _minutes(minute: str) -> list[str]:
    if minute == "00":
        return []
    return ["oh", _cardinal(int(minute))] if minute[0] == "0" else [_cardinal(int(minute))]


def _one_by_one(digits: str) -> str:
    return " ".join(_cardinal(int(digit)) for digit in digits)


def _cardinal(value: int) -> str:
    return _in_words(value, "cardinal")


@lru_cache(maxsize=4096)
def _in_words(value: int, kind: str) -> str:
    """num2words' words for `value`, without hyphens, commas and "and"."""
    # It imports sixty languages, so it is imported when the first number is said.
    from num2words import num2words

    said = str(num2words(value, to=kind))
    return re.sub(r"\band ", "", said.replace("-", " ").replace(",", ""))
