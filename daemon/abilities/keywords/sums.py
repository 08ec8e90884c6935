"""What a sentence wants calculated or converted, by single words. Pure."""

import re
from collections.abc import Callable

from .finding import Wanted, has

_ASKS = (
    "what|how|work out|calculate|sum|add|make|makes|left|equals?|split|share|each|times|tip|half"
    "|double|square|root|percent|plus|minus|divided|is it|figure|answer"
)
_NUMBER = r"(?:a |an )?(-?\d+(?:\.\d+)?|hundred|thousand|one|two|three|zero|dozen)"
_SHAPES = (
    (rf"\btake {_NUMBER} (?:away )?(?:from|off|of) {_NUMBER}", "{1} - {0}"),
    (rf"\b{_NUMBER} (?:taken |taken away )?(?:away )?from {_NUMBER}", "{1} - {0}"),
    (rf"\bsubtract {_NUMBER} from {_NUMBER}", "{1} - {0}"),
    (rf"\b{_NUMBER} take away {_NUMBER}", "{0} - {1}"),
    (
        rf"\b(?:split|share|divide) {_NUMBER} (?:by|between|among|into|equally between)?"
        rf" ?{_NUMBER}",
        "{0} / {1}",
    ),
    (rf"\b{_NUMBER} (?:split|shared|divided) (?:by|between|among|into) {_NUMBER}", "{0} / {1}"),
    (rf"\bhow (?:many times|often) does {_NUMBER} (?:go|fit) into {_NUMBER}", "{1} / {0}"),
    (rf"\b{_NUMBER} lots of {_NUMBER}", "{0} * {1}"),
    (rf"\b{_NUMBER} by {_NUMBER}", "{0} * {1}"),
    (rf"\bsquare root of {_NUMBER}", "square root of {0}"),
    (rf"\b(?:square|squaring) {_NUMBER}", "{0} squared"),
    (rf"\b(?:cube|cubing) {_NUMBER}", "{0} cubed"),
    (rf"\b{_NUMBER} to the (?:power of )?{_NUMBER}", "{0} ^ {1}"),
    (rf"\b(?:double|twice) {_NUMBER}", "2 * {0}"),
    (rf"\bhalf (?:of )?{_NUMBER}", "{0} / 2"),
    (
        rf"\b{_NUMBER} ?(?:percent|%) (?:tip |off |discount )?(?:of|on|from) (?:a |the )?{_NUMBER}",
        "{0} % of {1}",
    ),
    (
        rf"\b{_NUMBER} (?:and|with|plus|more than) {_NUMBER}(?: altogether| together| in total)",
        "{0} + {1}",
    ),
)


_TABLES = {
    word: str(number)
    for number, word in enumerate(
        "ones twos threes fours fives sixes sevens eights nines tens elevens twelves".split(), 1
    )
}


_MOST_WORDS = 14
_PART = re.compile(r"-?\d|plus$|minus$|times$|divided$|multiplied$|over$|percent$|[-+*/x%^]$")
_BEGINS = re.compile(
    r"-?\d|one$|two$|three$|a$|the$|half$|double$|twice$|square$|root$|minus$|negative$"
)


def sum_wanted(text: str, value: Callable[[str], object]) -> Wanted | None:
    """The sum in `text`, where `value` returns None for what is none; None if there is none."""
    if not re.search(r"\d|\b(?:one|two|three|hundred|dozen)\b", text):
        return None
    if has(text, "add up|sum of|total of|add together|altogether|all together|in total|add|sum"):
        numbers = re.findall(r"-?\d+(?:\.\d+)?", text)
        rest = re.sub(r"-?\d+(?:\.\d+)?", " ", text)
        if len(numbers) > 1 and not has(rest, "percent|times|list|timer|minutes?|hours?|to the"):
            return "sum", {"sum": " + ".join(numbers)}
    for pattern, shape in _SHAPES:
        found = re.search(pattern, text)
        if found is not None and has(text, _ASKS):
            return "sum", {"sum": shape.format(*found.groups())}
    doubled = re.search(r"\b(\d+) (\d+)$", text)  # "nine nines", in digits
    if doubled is not None and doubled[1] == doubled[2] and has(text, _ASKS):
        return "sum", {"sum": f"{doubled[1]} * {doubled[2]}"}
    table = re.search(
        rf"\b{_NUMBER} (ones|twos|threes|fours|fives|sixes|sevens|eights|nines|tens"
        r"|elevens|twelves)\b",
        text,
    )
    if table is not None:
        return "sum", {"sum": f"{table[1]} * {_TABLES[table[2]]}"}
    if not has(text, _ASKS):
        return None
    words = text.split()
    for length in range(min(len(words), _MOST_WORDS), 1, -1):
        for start in range(len(words) - length + 1):
            around = words[max(0, start - 1) : start] + words[start + length :][:1]
            if not _BEGINS.match(words[start]) or any(map(_PART.match, around)):
                continue  # it is only a part of a sum
            part = " ".join(words[start : start + length])
            try:
                if value(part) is not None:
                    return "sum", {"sum": part}
            except ArithmeticError:
                return "sum", {"sum": part}
    return None


def conversion_wanted(text: str, units: Callable[[str], str | None]) -> Wanted | None:
    """The conversion in `text`, where `units` returns None for what is no unit; None if there is
    none."""
    for part, share in (("3 quarters of an? ", "0.75 "), ("an? quarter of an? ", "0.25 ")):
        text = re.sub(rf"\b{part}", share, text)
    words = text.split()
    amount: tuple[int, int, str] | None = None
    for start, word in enumerate(words):
        number = re.fullmatch(r"-?\d+(?:\.\d+)?|an?|one|two|three|half|minus", word)
        if number is None:
            continue
        for end in range(min(len(words), start + 6), start + 1, -1):
            said = " ".join(words[start:end])
            unit = re.sub(
                r"^(?:minus )?(?:-?\d+(?:\.\d+)?|half an?|an?|one|two|three|half) (?:of )?(?:a )?",
                "",
                said,
            )
            if unit and units(unit) is not None:
                better = amount is None or (word[0].isdigit() and not words[amount[0]][0].isdigit())
                if better:
                    amount = start, end, said
                break
    if amount is None or not has(text, "how|what|in|to|into|convert|as|is that|make|would"):
        return None
    start, end, said = amount
    places = [*range(end, len(words)), *range(start)]
    of = units(re.sub(r"^\S+ ", "", said))
    for place in places:
        for count in (3, 2, 1):
            unit = " ".join(words[place : place + count])
            if place < start < place + count or place + count > len(words):
                continue
            found = units(unit)
            if found is not None and found != of and unit not in ("a", "c", "f", "m", "g"):
                return "convert", {"from": said, "to": unit}
    return None
