"""Understands lengths of time and moments as people say them, and says them again. Pure; takes the
form that `abilities/sentences/plain_request.py` makes."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from typing import Literal

_NUMBERS = {
    "a": 1.0,
    "an": 1.0,
    "one": 1.0,
    "two": 2.0,
    "three": 3.0,
    "half a": 0.5,
    "half an": 0.5,
    "a half": 0.5,
    "a quarter of an": 0.25,
    "quarter of an": 0.25,
    "a quarter": 0.25,
    "3 quarters of an": 0.75,
    "three quarters of an": 0.75,
    "a couple of": 2.0,
    "a couple": 2.0,
    "a dozen": 12.0,
}
_SECONDS = {"second": 1, "sec": 1, "minute": 60, "min": 60, "hour": 3600, "hr": 3600, "day": 86400}
_UNIT = r"(?P<unit>seconds?|secs?|minutes?|mins?|hours?|hrs?|days?)"
_NUMBER = r"(\d+(?:\.\d+)?|" + "|".join(sorted(_NUMBERS, key=len, reverse=True)) + ")"
_SHARE = r"and a half|and (?:a quarter|1 quarter)|and 3 quarters"
_PART = re.compile(
    rf"{_NUMBER}(?: (?P<before>{_SHARE})| (1|a) half)?(?: more| extra| whole| full| good)? ?{_UNIT}"
    rf"(?: (?P<after>{_SHARE}))?\b"
)
_ABOUT = re.compile(r"(?:another|about|around|roughly|exactly|maybe|only|just|say|like|a good) ")
_MOST_SECONDS = 100 * 3600

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_MONTHS = (
    "january february march april may june july august september october november december"
).split()
_SMALL = {"one": 1, "two": 2, "three": 3}
_EVENING_HOUR = 12


def duration(text: str) -> tuple[int, str] | None:
    """Read the length of time that `text` begins with, in seconds, and what comes after it: "10
    minute pasta" gives 600 and "pasta". None if it begins with none, or with one over 100 hours."""
    lead = _ABOUT.match(text)
    seconds, place, found = 0.0, lead.end() if lead else 0, False
    while (part := _PART.match(text, place)) is not None:
        number = part[1]
        count = _NUMBERS[number] if number in _NUMBERS else float(number)
        unit = _SECONDS[part["unit"].rstrip("s")]
        share = part["before"] or part["after"] or ""
        count += 0.5 if "half" in share else 0.75 if "3" in share else 0.25 if share else 0.0
        seconds += count * unit
        found = True
        place = part.end()
        joint = re.compile(r"(?: and|,)? (?=(?:\d|an? |one |two |three |half ))").match(text, place)
        if joint is None:
            break
        place = joint.end()
    if not found or not 1 <= seconds <= _MOST_SECONDS:
        return None
    return round(seconds), text[place:].strip()


@dataclass(frozen=True)
class Moment:
    """A moment that was named, where the user is."""

    at: datetime
    """The first time, without a zone: on the clock at the wall, whatever zone that shows."""
    days: tuple[int, ...] = ()
    """The days of the week on which it comes again, from 0 for Monday; none if it comes once."""
    after_seconds: int | None = None
    """The length of time from now, if it was named by one, such as "in 20 minutes"."""
    by_clock: bool = True
    """Whether a time of day was named, and not only a day or a part of one."""


Part = Literal["morning", "afternoon", "evening", "night", ""]
_PARTS: dict[str, tuple[Part, int]] = {
    "in the morning": ("morning", 8),
    "this morning": ("morning", 8),
    "in the afternoon": ("afternoon", 15),
    "this afternoon": ("afternoon", 15),
    "in the evening": ("evening", 19),
    "this evening": ("evening", 19),
    "at night": ("night", 21),
    "tonight": ("night", 21),
    "morning": ("morning", 8),
    "afternoon": ("afternoon", 15),
    "evening": ("evening", 19),
    "night": ("night", 21),
}
_CLOCK = re.compile(
    r"(?:(?P<briefly>half) (?=\d|one|two|three)|"
    r"(?P<to>half|(?:a )?quarter|\d{1,2}|five|ten|twenty|one|two|three)(?: minutes?)?"
    r" (?P<side>past|after|to|before|of|till) )?"
    r"(?P<hour>\d{1,2}|one|two|three|noon|midday|midnight)"
    r"(?:[:.](?P<minute>\d{2})| (?P<minute2>\d{2})(?! ?(?:minutes?|seconds?|hours?|days?)))?"
    r"(?: ?o'?\s?clock)?(?: ?(?P<half>am|pm))?\b"
)
_EVERY = re.compile(
    r"\b(?:(?:on )?every (?P<day>day|morning|evening|night|weekday|week day|weekend|"
    + "|".join(WEEKDAYS)
    + r")s?|(?:on )?(?P<days>weekdays|weekends|"
    + "|".join(day + "s" for day in WEEKDAYS)
    + r")|(?P<daily>daily|each day))\b"
)
_DAY = re.compile(
    r"\b(?P<word>the day after tomorrow|tomorrow|today|tonight)\b|"
    r"\b(?:on |next |this |coming )*(?P<weekday>" + "|".join(WEEKDAYS) + r")\b"
)
_DATE = re.compile(
    r"\b(?:on )?(?:(?:the )?(?P<day>\d{1,2})(?:st|nd|rd|th)?(?: of)? (?P<month>"
    + "|".join(_MONTHS)
    + r")|(?P<month2>"
    + "|".join(_MONTHS)
    + r")(?: the)? (?P<day2>\d{1,2})(?:st|nd|rd|th)?\b"
    r"|the (?P<day3>\d{1,2})(?:st|nd|rd|th)|the (?P<day4>first|second|third)$)\b"
)
_NO_REPEAT = re.compile(
    r"\b(?:(?:every|each)(?: \w+)? (?:of (?:the|every|each) )?"
    r"(?:month|year|fortnight|hour|minute)s?"
    r"|(?:every|each) (?:other|second|third|2nd|3rd|two|three|\d+) "
    r"(?:day|week|month|hour|minute|night"
    r"|morning|evening|year|" + "|".join(WEEKDAYS) + r")s?"
    r"|monthly|yearly|annually|fortnightly|hourly|(?:once|twice) (?:a|per) (?:month|year)"
    r"|every \w+ of (?:the|each|every) month)\b"
)
_AND_HALF = re.compile(r"\b(\d{1,2}) and (?:a )?half\b(?! ?(?:hours?|minutes?|past))")
_FILLER = re.compile(r"\b(?:at|on|for|the|o'clock|oclock|exactly|sharp|about|around|by|of)\b")


def moment(text: str, now: datetime, *, morning: bool = False) -> Moment | None:
    """Read the moment that `text` names, after `now`: "in 20 minutes", "tomorrow at half past 7",
    "every weekday at 6:30". With `morning`, an hour from 4 to 11 is one in the morning unless more
    is said, as for waking up. None if it names none, or one that is over."""
    wall = now.replace(tzinfo=None)
    text = _AND_HALF.sub(r"\1:30", text)
    after = re.match(r"^in (?!the )(.+)$|^(.+) from now$", text)
    if after is not None:
        length = duration(after[1] or after[2])
        if length is None or length[1]:
            return None
        return Moment(wall + timedelta(seconds=length[0]), after_seconds=length[0])
    rest, every = _taken(_EVERY, text)
    rest, dated = _taken(_DATE, rest)
    rest, named = _taken(_DAY, rest)
    part: Part = ""
    usual_hour = None
    if named is not None and named["word"] == "tonight":
        part, usual_hour = "night", 21
    if every is not None and every["day"] in _PARTS:
        part, usual_hour = _PARTS[every["day"]]
    for words in sorted(_PARTS, key=len, reverse=True):
        if re.search(rf"\b{words}\b", rest):
            part, usual_hour = _PARTS[words]
            rest = re.sub(rf"\b{words}\b", " ", rest, count=1)
            break
    rest = " ".join(rest.split())
    clock = _CLOCK.search(rest)
    if clock is not None:
        left = rest[: clock.start()] + " " + rest[clock.end() :]
        at = _time_of(clock, part)
        if at is None:
            return None
    elif usual_hour is not None or (dated is None and named is None and every is None):
        if usual_hour is None:
            return None
        left, at = rest, (time(usual_hour), True)
    else:
        left, at = rest, (time(9), True)  # a day without a time
    if _FILLER.sub(" ", left).strip():
        return None
    found = _placed(at[0], at[1], wall, every, dated, named, morning)
    return found and replace(found, by_clock=clock is not None)


def repeats_otherwise(text: str) -> bool:
    """Whether `text` wants something again, and not on days of the week: "every other day"."""
    return _NO_REPEAT.search(text) is not None


def _taken(pattern: re.Pattern[str], text: str) -> tuple[str, re.Match[str] | None]:
    found = pattern.search(text)
    if found is None:
        return text, None
    return " ".join(f"{text[: found.start()]} {text[found.end() :]}".split()), found


def _time_of(clock: re.Match[str], part: Part) -> tuple[time, bool] | None:
    """The time of day, and whether it is certain which half of the day is meant."""
    if clock["hour"] in ("noon", "midday", "midnight"):
        hour, minute, certain = (0 if clock["hour"] == "midnight" else 12), 0, True
        if clock["minute"] or clock["minute2"]:
            return None
    else:
        hour = _SMALL.get(clock["hour"]) or int(clock["hour"])
        minute = int(clock["minute"] or clock["minute2"] or 0)
        certain = hour > 12 or hour == 0
        half = clock["half"] or ("am" if part == "morning" else "pm" if part else "")
        if part == "night" and not clock["half"] and hour in (12, 1, 2, 3, 4):
            half = "am"  # "at 2 at night"
        if hour > 23 or minute > 59 or (half and hour > 12 and clock["half"]):
            return None
        if half and hour <= 12:
            hour, certain = hour % 12 + (12 if half == "pm" else 0), True
    if clock["briefly"]:  # "half seven"
        if minute:
            return None
        minute = 30
    elif clock["to"]:
        word = clock["to"].removeprefix("a ")
        steps = {"half": 30, "quarter": 15, "five": 5, "ten": 10, "twenty": 20, **_SMALL}
        away = steps.get(word) or int(word)
        if away > 59 or minute:
            return None
        total = hour * 60 + (away if clock["side"] in ("past", "after") else -away)
        if hour == 1 and total < 60 and not certain:
            total += 12 * 60  # "20 to 1"
        hour, minute = total // 60 % 24, total % 60
    return time(hour, minute), certain


def _placed(
    at: time,
    certain: bool,
    wall: datetime,
    every: re.Match[str] | None,
    dated: re.Match[str] | None,
    named: re.Match[str] | None,
    morning: bool,
) -> Moment | None:
    """The first moment after `wall` with that time of day, on the days that were named."""
    if not certain and morning and 4 <= at.hour <= 11:
        certain = True
    if every is not None:
        days = _days_of(every)
        return Moment(_next(_likely(at, certain), wall, days), days)
    day: date | None = None
    if dated is not None:
        day = _date_of(dated, wall.date())
        if day is None:
            return None
    elif named is not None and named["weekday"]:
        ahead = (WEEKDAYS.index(named["weekday"]) - wall.weekday()) % 7
        day = wall.date() + timedelta(days=ahead)
        if ahead == 0 and datetime.combine(day, _likely(at, certain)) <= wall:
            day += timedelta(days=7)
    elif named is not None:
        days_on = {"tomorrow": 1, "the day after tomorrow": 2}.get(named["word"], 0)
        if named["word"] == "tonight" and certain and at.hour < 5 <= wall.hour:
            days_on = 1  # "tonight at 2"
        day = wall.date() + timedelta(days=days_on)
    if day is None:
        return Moment(min(_next(one, wall, ()) for one in _choices(at, certain, wall.time())))
    found = datetime.combine(day, at)
    if not certain:
        later = found.replace(hour=(at.hour + 12) % 24)
        if day == wall.date():
            # Of today, the one that is still to come.
            found = next((one for one in sorted((found, later)) if one > wall), found)
        else:
            found = datetime.combine(day, _likely(at, certain))
    return Moment(found) if found > wall else None


def _choices(at: time, certain: bool, now: time) -> list[time]:
    """The times of day that an hour without am or pm may mean. One from 1 to 6 is in the afternoon,
    unless it is said in the night before."""
    later = at.replace(hour=(at.hour + 12) % 24)
    if certain:
        return [at]
    if 1 <= at.hour <= 6:
        return [at] if now < at else [later]
    return [at, later]


def _likely(at: time, certain: bool) -> time:
    """An hour of another day without am or pm: from 1 to 6 it is in the afternoon."""
    return at if certain or not 1 <= at.hour <= 6 else at.replace(hour=at.hour + 12)


def _next(at: time, wall: datetime, days: Sequence[int]) -> datetime:
    found = datetime.combine(wall.date(), at)
    while found <= wall or (days and found.weekday() not in days):
        found += timedelta(days=1)
    return found


def _days_of(every: re.Match[str]) -> tuple[int, ...]:
    word = (every["day"] or every["days"] or "day").removesuffix("s").replace("week day", "weekday")
    if word in WEEKDAYS:
        return (WEEKDAYS.index(word),)
    return {"weekday": (0, 1, 2, 3, 4), "weekend": (5, 6)}.get(word, tuple(range(7)))


def _date_of(dated: re.Match[str], today: date) -> date | None:
    ordinals = {"first": 1, "second": 2, "third": 3}
    day = ordinals.get(dated["day4"]) or int(dated["day"] or dated["day2"] or dated["day3"])
    name = dated["month"] or dated["month2"]
    for ahead in range(13):
        month = (today.month - 1 + ahead) % 12
        if name is not None and _MONTHS[month] != name:
            continue
        year = today.year + (today.month - 1 + ahead) // 12
        try:
            found = date(year, month + 1, day)
        except ValueError:
            continue
        if found >= today:
            return found
    return None


# --- the other way round


def said_duration(seconds: float) -> str:
    """Say a length of time: "1 hour and 30 minutes"."""
    whole = max(0, round(seconds))
    counts = (
        (whole // 86400, "day"),
        (whole // 3600 % 24, "hour"),
        (whole // 60 % 60, "minute"),
        (whole % 60, "second"),
    )
    parts = [f"{count} {unit}{'' if count == 1 else 's'}" for count, unit in counts if count]
    if not parts:
        return "0 seconds"
    return joined_words(parts)


def said_time(at: datetime | time) -> str:
    """Say a time of day: "7:30 am", "noon"."""
    if at.minute == 0 and at.hour in (0, 12):
        return "noon" if at.hour else "midnight"
    half = "am" if at.hour < _EVENING_HOUR else "pm"
    hour = at.hour % 12 or 12
    return f"{hour} {half}" if at.minute == 0 else f"{hour}:{at.minute:02} {half}"


def said_day(day: date, today: date) -> str:
    """Say a day as seen from `today`: "today", "tomorrow", "on Friday", "on December 24"."""
    ahead = (day - today).days
    if ahead in (0, 1):
        return ("today", "tomorrow")[ahead]
    if 1 < ahead < 7:
        return f"on {WEEKDAYS[day.weekday()].capitalize()}"
    said = f"on {_MONTHS[day.month - 1].capitalize()} {day.day}"
    return said if day.year == today.year or ahead < 300 else f"{said}, {day.year}"


def said_moment(at: datetime, days: Sequence[int], now: datetime) -> str:
    """Say a moment as seen from `now`: "tomorrow at 7 am", "at 7:30 pm", "every day at 7 am"."""
    if days:
        return f"{said_days(days)} at {said_time(at)}"
    if at.date() == now.date():
        return f"at {said_time(at)}"
    return f"{said_day(at.date(), now.date())} at {said_time(at)}"


def said_days(days: Sequence[int]) -> str:
    """Say days of the week: "every weekday"."""
    if tuple(days) == tuple(range(7)):
        return "every day"
    if tuple(days) == tuple(range(5)):
        return "every weekday"
    if tuple(days) == (5, 6):
        return "every weekend"
    return "every " + joined_words([WEEKDAYS[day].capitalize() for day in days])


def joined_words(parts: Sequence[str]) -> str:
    """Join parts as in a sentence: "a, b and c"."""
    if len(parts) < 2:
        return "".join(parts)
    return f"{', '.join(parts[:-1])} and {parts[-1]}"


def capitalised(words: str) -> str:
    """Begin `words` with a capital, as a sentence begins; the rest stays."""
    return words[:1].upper() + words[1:]
