"""Takes a sentence apart: the clauses with what is wanted, and the story around them. Pure; takes
the clauses that `sentences/plain_request.py` finds."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from ...alarms.spoken_times import duration, moment, said_time
from ..sentences.plain_request import is_statement
from .finding import AT, DAY_WORD, MONTH, FoundMoment, has, moment_in

_ORDERS = (
    r"(?:(?:please|and|oh|just|then|now|so|also|maybe|actually|you can|you may|i need you to"
    r"|(?:can|could|would|will) you) )*"
    r"(?:set|start|put|make|give|add|cancel|delete|remove|scrap|drop|stop|pause|move|change|push|bring"
    r"|remind|nudge|wake|get|time|count|stick|write|take|cross|tick|pop|turn|switch|shift|postpone"
    r"|i (?:want|need|would like)|do not|tell|let|extend|resume|hold|snooze|kill|clear|note|jot"
    r"|chuck|bung|throw|shorten|reschedule|forget)\b"
)
_OF_IT = re.compile(rf"{_ORDERS}.*\b(?:it|that|them|this|that one|those|the .+ one)\b")
_UNFINISHED = re.compile(
    r"\b(?:at|for|from|by) (?P<part>(?:\d+|half|(?:a )?quarter|one|two|three) (?:past|to))"
    r"(?= ,|$| (?:every|each|tomorrow|today|tonight|on|in the|daily|please|remind|wake)\b)"
)
_OFFSET = re.compile(
    r"\b(?P<length>.+?) (?P<side>before|beforehand|earlier|early|ahead|after|later)\b"
)


@dataclass(frozen=True)
class Told:
    """A sentence, in the part with what is wanted and the rest."""

    order: str
    """The clause with what is wanted, and those that are only a time beside it."""
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()

    @property
    def story(self) -> tuple[str, ...]:
        """The rest, the nearest before what is wanted first."""
        return (*reversed(self.before), *self.after)


def told(clauses: Sequence[str], text: str, anchor: str) -> Told | None:
    """Take apart the sentence of `clauses`, or `text` if there are none, by the clause with one of
    the words `anchor`: rather one that is an order than others, and rather the last. None if none
    has one."""
    parts = tuple(clauses) or (text,)
    places = [place for place, one in enumerate(parts) if has(one, anchor)]
    if not places:
        return None
    orders = [place for place in places if re.match(_ORDERS, parts[place])]
    asked = [place for place in places if not is_statement(parts[place])]
    start = (orders or asked or places)[-1]
    if not orders:  # "the first alarm is not needed, cancel it"
        named = [place for place, one in enumerate(parts) if _OF_IT.match(one)]
        if named:
            parts = (*parts[:start], f"{parts[named[-1]]} , {parts[start]}", *parts[start + 1 :])
            parts = (*parts[: named[-1]], *parts[named[-1] + 1 :])
            start -= named[-1] < start
    bare = [place for place, one in enumerate(parts) if place != start and is_time(one)]
    order = " , ".join([parts[start], *(parts[place] for place in bare)])
    rest = [place for place in range(len(parts)) if place != start and place not in bare]
    return Told(
        order,
        tuple(parts[place] for place in rest if place < start),
        tuple(parts[place] for place in rest if place > start),
    )


def is_time(clause: str) -> bool:
    """Whether `clause` is a moment or a length of time, and nothing else."""
    bare = re.sub(r"^(?:say|make it|so|for|at|until|from|on|in|about|around|and) ", "", clause)
    length = duration(bare)
    if length is not None and not length[1]:
        return True
    return moment(AT.sub("", clause), _ANY_DAY) is not None


_ANY_DAY = datetime(2000, 1, 1)


def moment_told(told: Told, now: datetime, *, morning: bool = False) -> FoundMoment | None:
    """The moment that is wanted: in the order, and what is missing there from the story."""
    told_of = [moment_in(one, now, morning=morning) for one in told.story]
    others = [one for one in told_of if one is not None]
    timed = [one for one in others if _is_timed(one, now, morning)]
    unfinished = _UNFINISHED.search(told.order)
    if unfinished is not None and timed:
        hour = re.search(r"\d{1,2}|one|two|three|noon|midnight", timed[0].said)
        if hour is not None:
            days = DAY_WORD.search(told.order)
            said = f"{unfinished['part']} {hour[0]}{' ' + days[0] if days else ''}"
            if moment(said, now, morning=morning) is not None:
                return FoundMoment(said, (unfinished[0], days[0] if days else ""))
    if (offset := _shifted(told.order, timed, now, morning)) is not None:
        return offset
    found = moment_in(told.order, now, morning=morning)
    ordinal = re.search(r"\bthe (\w+)(?= ,|$)", told.order)
    months = [month for one in told.story for month in MONTH.findall(one)]
    if ordinal is not None and months:
        dated = moment_in(f"on the {ordinal[1]} of {months[0]}", now, morning=morning)
        if dated is not None:
            return FoundMoment(dated.said, (f"on the {ordinal[1]}", f"the {ordinal[1]}"))
    if found is None:
        return others[0] if others else None
    if _is_timed(found, now, morning):
        return on_day(found, told.story, now, morning=morning)
    for other in timed:  # "on Saturday", and the hour is in the story
        whole = f"{found.said} at {other.said}"
        if moment(whole, now, morning=morning) is not None:
            return FoundMoment(whole, found.pieces)
    return found


def _is_timed(found: FoundMoment, now: datetime, morning: bool) -> bool:
    read = moment(found.said, now, morning=morning)
    return read is not None and read.by_clock


def on_day(
    found: FoundMoment, story: Sequence[str], now: datetime, *, morning: bool = False
) -> FoundMoment:
    """Return `found` on the day that the story names, if it names none itself."""
    if found.said.startswith("in "):
        return found
    if DAY_WORD.search(found.said):
        return found
    for day in (day for one in story for day in DAY_WORD.finditer(one)):
        whole = f"{found.said} {day[0]}"
        if moment(whole, now, morning=morning) is not None:
            return FoundMoment(whole, found.pieces)
    return found


def _shifted(
    order: str, timed: Sequence[FoundMoment], now: datetime, morning: bool
) -> FoundMoment | None:
    """The moment of "5 minutes before", where the story names a time."""
    for words in (_OFFSET.search(order[start.start() :]) for start in re.finditer(r"\b\w", order)):
        length = duration(words["length"]) if words is not None else None
        if words is None or length is None or length[1] or not timed:
            continue
        read = moment(timed[0].said, now, morning=morning)
        if read is None or read.days:
            continue
        sign = 1 if words["side"] in ("after", "later") else -1
        at = read.at + timedelta(seconds=sign * length[0])
        day = f" on {at:%B} {at.day}".lower() if at.date() != now.date() else ""
        return FoundMoment(f"{said_time(at)}{day}", (words[0],))
    return None
