"""Tells the time and the date."""

import re
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

from ..alarms.spoken_times import WEEKDAYS, capitalised, moment, said_time
from .ability import Ability, Answer, Request
from .keywords.clock import clock_wanted

_PLACES = {
    "new york": "America/New_York",
    "boston": "America/New_York",
    "washington": "America/New_York",
    "miami": "America/New_York",
    "san francisco": "America/Los_Angeles",
    "seattle": "America/Los_Angeles",
    "california": "America/Los_Angeles",
    "texas": "America/Chicago",
    "houston": "America/Chicago",
    "england": "Europe/London",
    "scotland": "Europe/London",
    "britain": "Europe/London",
    "ireland": "Europe/Dublin",
    "germany": "Europe/Berlin",
    "munich": "Europe/Berlin",
    "hamburg": "Europe/Berlin",
    "france": "Europe/Paris",
    "italy": "Europe/Rome",
    "spain": "Europe/Madrid",
    "barcelona": "Europe/Madrid",
    "switzerland": "Europe/Zurich",
    "austria": "Europe/Vienna",
    "the netherlands": "Europe/Amsterdam",
    "poland": "Europe/Warsaw",
    "greece": "Europe/Athens",
    "turkey": "Europe/Istanbul",
    "japan": "Asia/Tokyo",
    "china": "Asia/Shanghai",
    "beijing": "Asia/Shanghai",
    "india": "Asia/Kolkata",
    "mumbai": "Asia/Kolkata",
    "delhi": "Asia/Kolkata",
    "new delhi": "Asia/Kolkata",
    "thailand": "Asia/Bangkok",
    "korea": "Asia/Seoul",
    "egypt": "Africa/Cairo",
    "kenya": "Africa/Nairobi",
    "south africa": "Africa/Johannesburg",
    "hawaii": "Pacific/Honolulu",
    "new zealand": "Pacific/Auckland",
    "greenwich": "UTC",
}
"""Places whose zone is named after another."""

SENTENCES = {
    "time": (
        "what [is] [the] time [is it] [right] [now|today]",
        "what time (is it|it is|do we have|do you have|have you got) [right] [now]",
        "(do you know|do you have|have you got|<tell>|check|what about) [what] [the] [current] time"
        " [it is|is it] [right] [now]",
        "[<tell>] (the|current) time [is]",
        "[what is] the (current|exact) time",
        "how late is it [right] [now]",
        "is it late",
        "time [check]",
    ),
    "time_elsewhere": (
        "what [is] [the] time (is it|it is) [now] in {place}",
        "what is [the] [current] time [now] in {place}",
        "(<tell>|do you know) [what] [the] [current] time [it is] in {place}",
        "what time is it in {place} [right] [now]",
        "how late is it in {place}",
        "time in {place}",
    ),
    "date": (
        "what [is] [the|today's|todays|our] date [is it] [is] [today]",
        "what is today's date",
        "what is the date [today] [please]",
        "what [is] today",
        "what (day|date) (is it|is today|is it today|do we have|do we have today|are we on) [now]",
        "what day of the (week|month) (is it|is today|is it today)",
        "(<tell>|do you know) [what] [the|today's|todays|current] (day|date) [it is|is it]"
        " [today|of today]",
        "which day (is it|is today|is it today|do we have) [today]",
        "what is the day [today]",
        "[the] date [today]",
    ),
    "year": (
        "what [is] [the] year (is it|is this|do we have|are we in) [now]",
        "(what|which) year is it [now]",
        "what is the [current] year",
        "<tell> [the|what] year [it is]",
    ),
    "month": (
        "(what|which) month (is it|is this|do we have|are we in) [now]",
        "what is the [current] month",
    ),
    "day_of": (
        "what day [of the week] (is|was|will be|is it) {day}",
        "(which|what) (date|day) is {day}",
        "what is the date [of|on] {day}",
        "what day [of the week] (is it|will it be) {day}",
        "what date (is it|will it be) {day}",
    ),
    "days_until": (
        "how (many days|long) [is it|are there|is there|do we have] (until|till|to|before) {day}",
        "how many days are left (until|till|to|before) {day}",
        "days (until|till) {day}",
        "when is {feast}",
        "what (day|date) is {feast}",
    ),
}
_FEASTS = (
    "christmas",
    "christmas eve",
    "christmas day",
    "boxing day",
    "new year",
    "new year's",
    "new years",
    "new year's eve",
    "new year eve",
    "new years eve",
    "new year's day",
    "new years day",
    "halloween",
    "valentine's day",
    "valentines day",
    "easter",
    "easter sunday",
)
_FEAST_DAYS = {
    "christmas": (12, 25),
    "christmas day": (12, 25),
    "christmas eve": (12, 24),
    "boxing day": (12, 26),
    "new year": (1, 1),
    "new year's": (1, 1),
    "new years": (1, 1),
    "new year's day": (1, 1),
    "new years day": (1, 1),
    "new year's eve": (12, 31),
    "new year eve": (12, 31),
    "new years eve": (12, 31),
    "halloween": (10, 31),
    "valentine's day": (2, 14),
    "valentines day": (2, 14),
}


_NOW = re.compile(
    r"(?: (?:right now|just now|now|at the moment|at present|currently|today|please|then|there))+$"
)


def clock_ability() -> Ability:
    """The clock and the calendar."""
    return Ability(
        name="clock",
        example="what time is it",
        sentences=SENTENCES,
        answer=_answer,
        by_keywords=lambda request: clock_wanted(
            request.slots["text"], lambda place: zone_of(place) is not None
        ),
        lists={"feast": _FEASTS},
        about=("time is it", "the time", "the date", "what day is", "todays date", "today's date"),
    )


def _answer(request: Request) -> Answer | None:
    now = request.now
    match request.intent:
        case "time":
            return Answer(f"It is {said_time(now)}.")
        case "time_elsewhere":
            place = _NOW.sub("", request.slots["place"])
            zone = zone_of(place)
            if zone is None:
                return Answer(f"I do not know the time zone of {place.title()}.")
            there = now.astimezone(zone)
            day = {1: " tomorrow", -1: " yesterday"}.get((there.date() - now.date()).days, "")
            return Answer(f"It is {said_time(there)}{day} in {place.title()}.")
        case "date":
            return Answer(f"Today is {said_date(now.date())}.")
        case "year":
            return Answer(f"It is {now.year}.")
        case "month":
            return Answer(f"It is {now:%B}.")
        case "day_of":
            named = day_named(request.slots["day"], now)
            if named is None:
                return None
            is_or_was = "was" if named < now.date() else "is"
            return Answer(f"{capitalised(request.slots['day'])} {is_or_was} {said_date(named)}.")
        case "days_until":
            words = request.slots.get("feast") or request.slots["day"]
            named = day_named(words, now)
            if named is None:
                return None
            count = (named - now.date()).days
            if count < 0:
                return None
            when = {0: "today", 1: "tomorrow"}.get(count, f"in {count} days")
            return Answer(f"{capitalised(words)} is {when}, on {said_date(named)}.")
    return None


def said_date(day: date) -> str:
    """Say a date: "Monday, November 30, 2026"."""
    return f"{day:%A}, {day:%B} {day.day}, {day.year}"


def zone_of(place: str) -> ZoneInfo | None:
    """The zone of a place in small letters; None if it is not known."""
    name = _PLACES.get(place) or _CITIES.get(place.removeprefix("the "))
    return ZoneInfo(name) if name else None


_CITIES = {
    name.rpartition("/")[2].replace("_", " ").lower(): name
    for name in sorted(available_timezones())
    if "/" in name and not name.startswith(("Etc/", "posix/", "right/", "US/", "SystemV/"))
}
"""The city of each zone."""


def day_named(words: str, now: datetime) -> date | None:
    """The day that `words` name: a feast, a date, a day of the week; None if they name none."""
    today = now.date()
    words = words.removesuffix(" this year").strip()
    if (of_year := re.fullmatch(r"(.+?)(?: in)? (\d{4})", words)) is not None:
        first = datetime(int(of_year[2]), 1, 1, tzinfo=now.tzinfo)
        return day_named(of_year[1], first) if int(of_year[2]) >= 1583 else None
    if words in ("the day after tomorrow", "day after tomorrow"):
        return today + timedelta(days=2)
    if words in _FEAST_DAYS:
        month, day = _FEAST_DAYS[words]
        found = date(today.year, month, day)
        return found if found >= today else found.replace(year=today.year + 1)
    if words == "yesterday":
        return today - timedelta(days=1)
    if words == "today":
        return today
    if words in ("easter", "easter sunday"):
        return min(day for day in map(_easter, (today.year, today.year + 1)) if day >= today)
    named = moment(f"{words} at 23:59", now)
    if named is None or named.days or named.after_seconds:
        return None
    if words in WEEKDAYS and named.at.date() == today:
        return today + timedelta(days=7)
    # A time of day alone names no day.
    return named.at.date() if moment(words, now) is not None and not words[0].isdigit() else None


def _easter(year: int) -> date:
    """Easter Sunday (Gauss's rule in the form of Meeus, Jones and Butcher)."""
    a, b, c = year % 19, year // 100, year % 100
    d, e = divmod(b, 4)
    f = (b + 8) // 25
    g = (b - f + 1) // 3
    h = (19 * a + b - d - g + 15) % 30
    i, k = divmod(c, 4)
    m = (32 + 2 * e + 2 * i - h - k) % 7
    n = (a + 11 * h + 22 * m) // 451
    month, day = divmod(h + m - 7 * n + 114, 31)
    return date(year, month, day + 1)
