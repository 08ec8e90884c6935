"""Calculates."""

import re
from decimal import Decimal, DivisionByZero, InvalidOperation, Overflow, localcontext

from .ability import Ability, Answer, Request
from .keywords.sums import sum_wanted

_ASK = (
    "(what is|what are|what does|how much is|how much are|how many is|calculate|compute|work out"
    "|solve|figure out|<tell> what is|do you know what is|<tell>|what do you get for)"
)
SENTENCES = {
    "sum": (
        f"{_ASK} [the result of|the answer to] {{sum}} [equal|equals|make|makes|give|is]",
        "{sum}",
    ),
    "+": ("(add|sum up|sum) {a} (and|to|plus) {b}", f"{_ASK} the (sum|total) of {{a}} and {{b}}"),
    "-": (
        "(subtract|take) {b} [away] from {a}",
        f"{_ASK} the difference (between|of) {{a}} and {{b}}",
    ),
    "*": (
        "multiply {a} (by|and|with|times) {b}",
        f"{_ASK} the product of {{a}} and {{b}}",
    ),
    "/": ("divide {a} by {b}", "how (many times|often) does {b} (go|fit) into {a}"),
}
_WORDS = (
    (r"\bmultiplied (?:by|with)\b|\btimes\b|\bx\b|\u00d7", "*"),
    (r"\bdivided by\b|\bover\b|\u00f7|\binto\b", "/"),
    (r"\bto the power of\b|\bto the power\b|\*\*|\^", "^"),
    (r"\bsquared\b|\bto the 2nd\b", "^2"),
    (r"\bcubed\b|\bto the 3rd\b", "^3"),
    (r"\bplus\b|\badded to\b", "+"),
    (r"\bminus\b|\bless\b|\bsubtract\b", "-"),
    (r"\bnegative\b", "-"),
    (r"\b(?:the )?square root of\b|\b(?:the )?root of\b", "r"),
    (r"(?:\bper ?cent\b|%) (?:tip )?(?:of|on|from)\b", "%*"),
    (r"\bper ?cent\b|%", "%"),
    (r"\b(?:a )?half of\b|\bhalf\b", "0.5*"),
    (r"\b(?:a )?third of\b", "(1/3)*"),
    (r"\b(?:a )?quarter of\b", "0.25*"),
    (r"\b(?:3 quarters|three quarters) of\b", "0.75*"),
    (r"\b(?:twice|double)\b", "2*"),
    (r"\bdozens?\b", "*12"),
    (r"\bpoint\b", "."),
    (r"\b(?:a )?hundred\b", "100"),
    (r"\b(?:a )?thousand\b", "1000"),
    (r"\b(?:a )?million\b", "1000000"),
)
_SMALL = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen"
    " sixteen seventeen eighteen nineteen twenty"
).split()
_TOKEN = re.compile(r"\s*(\d+(?:\.\d+)?|\.\d+|[-+*/^%()r])")
_MOST_TOKENS = 200
_DIGITS = 30


def arithmetic_ability() -> Ability:
    """Arithmetic."""
    return Ability(
        name="arithmetic",
        example="what is twelve times seven",
        sentences=SENTENCES,
        answer=_answer,
        by_keywords=lambda request: sum_wanted(request.slots["text"], value_of),
        about=("plus", "minus", "multiplied by", "divided by", "square root", "percent of"),
    )


def _answer(request: Request) -> Answer | None:
    slots = request.slots
    text = (
        slots["sum"] if request.intent == "sum" else f"{slots['a']} {request.intent} {slots['b']}"
    )
    try:
        found = value_of(text)
    except ZeroDivisionError:
        return Answer("Nothing can be divided by zero.")
    except OverflowError:
        return Answer("That number is too large for me.")
    return None if found is None else Answer(f"That is {said_number(found)}.")


def value_of(text: str) -> Decimal | None:
    """The value of a sum in words and digits, such as "12 times 7"; None if `text` is none, or only
    one number. Raises ZeroDivisionError, and OverflowError for a number that is too large."""
    for pattern, instead in _WORDS:
        text = re.sub(pattern, f" {instead} ", text)
    text = re.sub(r"(\d) \. (\d)", r"\1.\2", text)
    for number, word in enumerate(_SMALL):
        text = re.sub(rf"\b{word}\b", str(number), text)
    tokens, place = [], 0
    text = text.strip()
    while place < len(text):
        found = _TOKEN.match(text, place)
        if found is None:
            return None
        tokens.append(found[1])
        place = found.end()
    if len(tokens) > _MOST_TOKENS or not set(tokens) & set("+-*/^r"):
        return None  # a number, or a percentage, alone
    with localcontext() as context:
        context.prec = _DIGITS
        try:
            parser = _Parser(tokens)
            value = parser.sum()
        except (DivisionByZero, InvalidOperation) as error:
            raise ZeroDivisionError from error
        except Overflow as error:
            raise OverflowError from error
        except _NotASumError:
            return None
    return value if parser.at_end else None


class _NotASumError(Exception):
    """The tokens are no sum."""


class _Parser:
    """Computes while it reads: sums of products of powers."""

    def __init__(self, tokens: list[str]) -> None:
        self._tokens = tokens
        self._place = 0

    @property
    def at_end(self) -> bool:
        return self._place == len(self._tokens)

    def sum(self) -> Decimal:
        value = self._product()
        while (sign := self._taken("+", "-")) is not None:
            value = value + self._product() if sign == "+" else value - self._product()
        return value

    def _product(self) -> Decimal:
        value = self._power()
        while (sign := self._taken("*", "/")) is not None:
            value = value * self._power() if sign == "*" else value / self._power()
        return value

    def _power(self) -> Decimal:
        if self._taken("-"):
            return -self._power()
        value = self._atom()
        if self._taken("^"):
            exponent = self._power()
            if abs(exponent) > 1000:
                raise OverflowError
            value = value**exponent
        if abs(value) >= Decimal(10) ** (_DIGITS - 10):
            raise OverflowError
        return value

    def _atom(self) -> Decimal:
        if self._taken("r"):
            value = self._atom()
            if value < 0:
                raise _NotASumError
            return value.sqrt()
        if self._taken("("):
            value = self.sum()
            if not self._taken(")"):
                raise _NotASumError
            return value
        if self.at_end or not self._tokens[self._place][-1].isdigit():
            raise _NotASumError
        value = Decimal(self._tokens[self._place])
        self._place += 1
        return value / 100 if self._taken("%") else value

    def _taken(self, *wanted: str) -> str | None:
        if not self.at_end and self._tokens[self._place] in wanted:
            self._place += 1
            return self._tokens[self._place - 1]
        return None


def said_number(value: Decimal) -> str:
    """Say a number: "84", "1,250", "about 0.333"."""
    rounded = value.quantize(Decimal(1)) if abs(value) >= 10**9 else round(value, 3)
    if rounded == 0 and value != 0:
        rounded = Decimal(f"{value:.2g}")
    plain = f"{rounded.normalize():,f}" if rounded else "0"
    exact = abs(rounded - value) <= abs(value) * Decimal("1e-12")
    return plain if exact else f"about {plain}"
