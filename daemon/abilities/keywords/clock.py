"""What a sentence wants of the clock and the calendar, by single words. Pure."""

import re
from collections.abc import Callable

from ...alarms.spoken_times import WEEKDAYS
from .finding import ASK, Wanted, has

_DAYS = "|".join(WEEKDAYS)
_MONTHS = "january|february|march|april|may|june|july|august|september|october|november|december"
_DATE = (
    rf"(?:(?:the )?\d+(?:st|nd|rd|th)?(?: of)? (?:{_MONTHS})|(?:{_MONTHS})(?: the)?"
    rf" \d+(?:st|nd|rd|th)?)"
)
_FEAST = (
    r"christmas(?: eve| day)?|boxing day|new year'?s?(?: eve| day)?|halloween"
    r"|valentine'?s?(?: day)?|easter(?: sunday)?"
)
_DAY = re.compile(
    rf"\b({_DATE}|{_FEAST}|(?:next |this )?(?:{_DAYS})|(?:the )?day after tomorrow|tomorrow"
    r"|yesterday|today)\b"
)
_ELSEWHERE = re.compile(
    r"\b(?:in|for|at|over in|lives? in|is in|living in|out in|to) (?P<place>[a-z][a-z' ]+?)"
    r"(?= (?:right now|now|at the moment|just now|at present|today|currently|what|and|so|is|please"
    r"|does|do)\b|$)"
)
_NO_PLACE = frozenset(
    "the and at a an is here there morning afternoon evening my our bed this form moment that total"
    " days ring someone".split()
)


def clock_wanted(text: str, knows: Callable[[str], bool]) -> Wanted | None:
    """What `text` wants of the clock, where `knows` says whether a place is known; None if
    nothing."""
    day = _DAY.search(text)
    if has(text, r"how (?:many|long|far|soon)|in days|days? away|days? until|days? till|sleeps"):
        named = re.search(rf"\b({_DATE}|{_FEAST}|(?:{_DAYS}))\b", text)
        counts = "days?|far|sleeps|until|till|til|away|before|wait|to go|left"
        if named is not None and has(text, counts):
            return "days_until", {"day": _day(named[1])}
    if has(text, "timers?|alarms?|remind|reminders?|wak(?:e|en|ing)|woken|get me up") and not has(
        text, "what|which|time is it"
    ):
        return None
    asks_day = has(
        text,
        "what day|which day|what weekday|which weekday|day of the week|what date|which date"
        "|weekday|the date|date today|todays date|today's date|tomorrow's date|tomorrows date|date",
    )
    if asks_day and not has(text, "expiry|use by|birth|save the"):
        told = re.search(
            rf"\b({_DATE}(?: (?:in )?\d{{4}})?|{_FEAST}|(?:the )?day after tomorrow|tomorrow"
            r"|yesterday)\b",
            text.replace("'s", ""),
        )
        if told is not None:
            return "day_of", {"day": _day(told[1])}
        return "date", {}
    if re.search(
        rf"\b(?:is it|are we on|are we|today is|is today) (?:a )?(?:{_DAYS})\b(?: today| already)?",
        text,
    ) or has(text, "what is today|today is what|what's today"):
        return "date", {}
    if has(text, "what will|which will") and day is not None:
        return "day_of", {"day": _day(day[1])}
    if has(text, "what year|which year|what is the year"):
        return "year", {}
    if has(text, "what month|which month|what is the month"):
        return "month", {}
    if has(text, "on the clock|timers?|alarms?|remind|reminders?|wake|woken|waking|get up|list"):
        return None
    asks = has(text, ASK + "|could|would|can|need|want|give|know|please|current|got|check")
    asks_time = has(
        text,
        "what time|what is the time|time is it|time it is|how late|current time|exact time"
        "|the clock say|clock|the hour|what hour|which hour|what are we at"
        "|time have they|time do they|tell the time|time there|time over there|got the time",
    ) or re.search(
        r"\bis it (?:past|after|before|nearly|already|about|still)(?: (?:past|after))? "
        r"(?:\d|noon|midnight|lunch|bed|half|quarter)",
        text,
    )
    if (
        (asks_time or has(text, "the time"))
        and asks
        and not has(text, "all the time|first time|last time|time of my|waste|next time")
    ):
        words = text.split()
        for count in (3, 2, 1):
            for start in range(len(words) - count + 1):
                name = " ".join(words[start : start + count])
                if len(name) > 3 and knows(name):
                    return "time_elsewhere", {"place": name}
        for place in reversed(list(_ELSEWHERE.finditer(text))):
            name = place["place"].removeprefix("the ")
            if name.split()[0] not in _NO_PLACE:
                return "time_elsewhere", {"place": place["place"]}
        return None if day is not None and day[1] in ("yesterday",) else ("time", {})
    return None


def _day(words: str) -> str:
    return re.sub(r"^(?:next|this) ", "", words)
