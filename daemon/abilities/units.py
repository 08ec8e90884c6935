"""Converts between units of measurement, by the library pint."""

import re
from functools import cache
from math import isclose
from typing import TYPE_CHECKING

from .ability import Ability, Answer, Request
from .keywords.sums import conversion_wanted

if TYPE_CHECKING:
    from pint import UnitRegistry

_ASK = "(what is|how much is|how many is|what are|convert|<tell>|change|turn)"
SENTENCES = {
    "convert": (
        "how (many|much) {to} (is|are|make|makes|do|does) [there] [in|are in|is in] {from}",
        "how (many|much) {to} (are in|is in|in|are there in|make up|does it take to make) {from}",
        f"{_ASK} {{from}} (in|to|into|as) {{to}}",
        "{from} (in|to|into|as) {to}",
        "how (hot|cold|warm|long|far|heavy|tall|big|high|fast|wide|deep) (is|are) {from} in {to}",
    ),
}
_UNITS = {
    "celsius": "degC",
    "centigrade": "degC",
    "c": "degC",
    "fahrenheit": "degF",
    "f": "degF",
    "kelvin": "kelvin",
    "feet": "foot",
    "foot": "foot",
    "inches": "inch",
    "inch": "inch",
    "stone": "stone",
    "stones": "stone",
    "pounds": "pound",
    "pound": "pound",
    "lbs": "pound",
    "ounces": "ounce",
    "ounce": "ounce",
    "fluid ounces": "fluid_ounce",
    "fluid ounce": "fluid_ounce",
    "kilos": "kilogram",
    "kilo": "kilogram",
    "kilograms": "kilogram",
    "kilogram": "kilogram",
    "kg": "kilogram",
    "grams": "gram",
    "grammes": "gram",
    "gram": "gram",
    "g": "gram",
    "milligrams": "milligram",
    "milligram": "milligram",
    "tons": "metric_ton",
    "tonnes": "metric_ton",
    "ton": "metric_ton",
    "miles": "mile",
    "mile": "mile",
    "yards": "yard",
    "yard": "yard",
    "meters": "meter",
    "metres": "meter",
    "meter": "meter",
    "metre": "meter",
    "m": "meter",
    "kilometers": "kilometer",
    "kilometres": "kilometer",
    "kilometer": "kilometer",
    "kilometre": "kilometer",
    "km": "kilometer",
    "centimeters": "centimeter",
    "centimetres": "centimeter",
    "centimeter": "centimeter",
    "centimetre": "centimeter",
    "cm": "centimeter",
    "millimeters": "millimeter",
    "millimetres": "millimeter",
    "mm": "millimeter",
    "liters": "liter",
    "litres": "liter",
    "liter": "liter",
    "litre": "liter",
    "milliliters": "milliliter",
    "millilitres": "milliliter",
    "ml": "milliliter",
    "cups": "cup",
    "cup": "cup",
    "tablespoons": "tablespoon",
    "tablespoon": "tablespoon",
    "teaspoons": "teaspoon",
    "teaspoon": "teaspoon",
    "pints": "pint",
    "pint": "pint",
    "quarts": "quart",
    "quart": "quart",
    "gallons": "gallon",
    "gallon": "gallon",
    "seconds": "second",
    "minutes": "minute",
    "minute": "minute",
    "hours": "hour",
    "hour": "hour",
    "days": "day",
    "day": "day",
    "weeks": "week",
    "week": "week",
    "months": "month",
    "month": "month",
    "years": "year",
    "year": "year",
    "miles per hour": "mile/hour",
    "miles an hour": "mile/hour",
    "mph": "mile/hour",
    "kilometers per hour": "kilometer/hour",
    "kilometres per hour": "kilometer/hour",
    "kilometers an hour": "kilometer/hour",
    "kilometres an hour": "kilometer/hour",
    "kmh": "kilometer/hour",
    "meters per second": "meter/second",
    "metres per second": "meter/second",
    "calories": "kilocalorie",
    "kilocalories": "kilocalorie",
    "joules": "joule",
    "kilojoules": "kilojoule",
    "acres": "acre",
    "acre": "acre",
    "hectares": "hectare",
    "hectare": "hectare",
    "square meters": "meter**2",
    "square metres": "meter**2",
    "square feet": "foot**2",
    "bytes": "byte",
    "kilobytes": "kilobyte",
    "megabytes": "megabyte",
    "gigabytes": "gigabyte",
    "terabytes": "terabyte",
}
"""The units that people say, by pint's names."""
_NUMBERS = {"a": "1", "an": "1", "one": "1", "two": "2", "three": "3", "half a": "0.5", "": "1"}
_HALVES = re.compile(r"^(\S+) and a half ")
_AMOUNT = re.compile(
    r"^(?P<number>[-+]?\d+(?:\.\d+)?|half an?|an?|one|two|three|minus \d+)? ?(?P<unit>.+)$"
)
_DEGREES = re.compile(r"^(?:degrees?|°) ?")


def unit_ability() -> Ability:
    """Units of measurement."""
    return Ability(
        name="units",
        example="how many cups are in two litres",
        sentences=SENTENCES,
        answer=_answer,
        by_keywords=lambda request: conversion_wanted(request.slots["text"], _unit),
        about=("convert", "fahrenheit", "celsius", "centimetres", "kilometres", "ounces"),
    )


def _answer(request: Request) -> Answer | None:
    amount = _amount(request.slots["from"])
    to = _unit(request.slots["to"])
    if amount is None or to is None:
        return None
    number, unit = amount
    registry = _registry()
    try:
        found = registry.Quantity(number, unit).to(to)
    except _pint_errors():
        return Answer(f"{_words(request.slots['from'])} cannot be told in {request.slots['to']}.")
    value = float(found.magnitude)
    told = f"{value:.4g}" if 1e-4 <= abs(value) < 10_000 else f"{value:,.0f}"
    if 0 < abs(value) < 1e-4:
        told = f"{value:.8f}".rstrip("0").rstrip(".")
    about = "" if isclose(float(told.replace(",", "")), value, rel_tol=1e-9) else "about "
    return Answer(f"{_words(request.slots['from'])} is {about}{told} {request.slots['to']}.")


@cache
def _registry() -> "UnitRegistry[float]":
    # Imported when it is first needed: it takes a third of a second.
    from pint import UnitRegistry

    return UnitRegistry()


def _pint_errors() -> tuple[type[Exception], ...]:
    """What pint raises where units do not go together."""
    from pint import DimensionalityError, UndefinedUnitError

    return (DimensionalityError, UndefinedUnitError)


def _amount(words: str) -> tuple[float, str] | None:
    halves = _HALVES.match(words)
    more = 0.5 if halves is not None else 0.0
    words = _HALVES.sub(r"\1 ", words)
    found = _AMOUNT.match(words.strip())
    if found is None:
        return None
    unit = _unit(found["unit"])
    if unit is None:
        return None
    said = (found["number"] or "").replace("minus ", "-")
    said = {"half an": "0.5"}.get(said, _NUMBERS.get(said, said))
    return float(said) + more, unit


def _unit(words: str) -> str | None:
    bare = _DEGREES.sub("", words.strip())
    if not bare:
        return None
    return _UNITS.get(bare)


def _words(words: str) -> str:
    words = re.sub(r"^one\b", "1", words)
    return words[:1].upper() + words[1:]
