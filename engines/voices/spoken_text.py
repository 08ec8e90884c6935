"""Makes of a written text what is said aloud: marks of layout go, and what is written short is
written out. Pure.

Times, dates, units, titles and abbreviations are written out by the tables of the package
hibari-tts; the voices themselves read plain numbers.
"""

import re
import unicodedata

from hibari.g2p.normalize import normalize
from num2words import num2words

_LINK = re.compile(r"!?\[([^\]\n]*)\]\([^)\n]*\)")
_ADDRESS = re.compile(r"\bhttps?://(?:www\.)?([\w.-]*\w)(?::\d+)?(?:[/?#][^\s)>\]]*[\w/])?")
_LINE_START = re.compile(
    r"(?m)^[ \t]*(?:#{1,6}[ \t]+|>[ \t]?|[-*+•][ \t]+|(?=(?:```|~~~))[`~\w]*$)"
)
_RULE = re.compile(r"(?m)^[ \t]*(?:[-*_=|:][ \t]*){3,}$")
_MARKS = re.compile(r"(?<!\d)\*+(?=\S)|(?<=\S)\*+(?!\d)|(?<!\w)_+(?=\w)|(?<=\w)_+(?!\w)|`+|~~|\|")
_NUMBERED = re.compile(r"(?m)^[ \t]*(\d{1,3})[.)][ \t]+")
_MONEY = re.compile(
    r"([$£€])(\d{1,9}(?:,\d{3})*)(?:\.(\d{2}))?(?![\d.]*\d|\s?(?:[kKmMbB]\b|[mbt]?illion))"
)
_CURRENCIES = {"$": "USD", "£": "GBP", "€": "EUR"}
_SAID_SYMBOLS = "°©®™"
_TIMES = re.compile(r"(?<=\d)\s?[*\u00d7]\s?(?=\d)")
_LINE_END = re.compile(r"(?<=[^\s.,;:!?])\s*\n\s*(?=\S)")
_MOST_REPEATED = re.compile(r"([^\w\s])\1{2,}")


def spoken(text: str) -> str:
    """What is said of the English `text` aloud, on one line; empty where none of it can be said."""
    text = normalize(_MONEY.sub(_money, _TIMES.sub(" times ", without_marks(text))))
    return text if any(letter.isalnum() for letter in text) else ""


def without_marks(text: str) -> str:
    """`text` in any language on one line, without marks of layout, pictures, and the ends of web
    addresses; empty where nothing is left that can be said."""
    text = _RULE.sub(" ", text.replace("\r", "\n"))
    text = _NUMBERED.sub(r"\1, ", _LINE_START.sub("", text))
    text = _ADDRESS.sub(r"\1", _LINK.sub(r"\1", text))
    text = "".join(map(_sayable, _MARKS.sub(" " if "|" in text else "", text)))
    text = " ".join(_MOST_REPEATED.sub(r"\1", _LINE_END.sub(". ", text)).split())
    return text if any(letter.isalnum() for letter in text) else ""


def _money(found: re.Match[str]) -> str:
    sign, whole, hundredths = found.groups()
    amount = f"{whole.replace(',', '')}.{hundredths or '00'}"
    said = num2words(amount, to="currency", currency=_CURRENCIES[sign], separator=" and")
    return str(said).removesuffix(" and zero cents").removesuffix(" and zero pence")


def _sayable(letter: str) -> str:
    """`letter`, or a space in place of a picture or of what has no sound."""
    kind = unicodedata.category(letter)
    if letter == "\n" or letter in _SAID_SYMBOLS:
        return letter
    silent = kind in ("So", "Sk", "Cs", "Co", "Cn", "Cc", "Cf") or letter in "\ufe0f\u20e3"
    return " " if silent else letter
