"""Reminders: told at a time, by voice."""

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from ..alarms.alarm import Alarm, Now
from ..alarms.spoken_times import Moment, joined_words, moment, repeats_otherwise
from ..alarms.words import listed, said_when
from .ability import Ability, Answer, Request
from .keywords.clauses import on_day
from .keywords.finding import FoundMoment, moment_in, names_no_day
from .keywords.reminders import AND, reminder_wanted
from .timers import Alarms

SENTENCES = {
    "to": (
        "remind (me|us) {when} to {what}",
        "remind (me|us) to {what}",
        "<set> [me] [<the>|another] reminder [for|at] {when} to {what}",
        "<set> [me] [<the>|another] reminder to {what}",
        "(do not let me forget|make sure i do not forget|make sure [that] i remember) to {what}",
        "(tell|ask) me {when} to {what}",
    ),
    "about": (
        "remind (me|us) (about|of) {what}",
        "remind (me|us) {when} (about|of) {what}",
        "<set> [me] [<the>|another] reminder (about|of|for) {what}",
        "(do not let me forget|make sure i do not forget) [about] {what}",
    ),
    "that": (
        "remind me that {what}",
        "remind me {when} that {what}",
    ),
    "without_what": (
        "remind me {when}",
        "remind me",
        "<set> [me] [<the>|another] reminder [for|at] {when}",
        "<set> [me] [<the>|another] reminder",
    ),
    "list": (
        "(what|which|how many) reminders (are|do i have|are there|have i got) [set] [for today|for"
        " tomorrow]",
        "(list|what are|<tell>) [all] [<the>] reminders",
        "(do i have|are there|is there) [a|any] reminder[s] [set] [for today|for tomorrow]",
        "what (did i want|did i ask you|are you supposed|do you have) to remind me (of|about)",
        "what (do|did) i (have|need|want) to remember",
    ),
    "cancel": (
        "<cancel> [<the>] reminder",
        "<cancel> [<the>] reminder (to|about|of|for) {which}",
        "<cancel> [<the>] {which} reminder",
        "(do not|no longer) remind me (to|about|of) {which}",
    ),
    "cancel_all": (
        "<cancel> (all|every|both|all of) [the|my|of my] reminder[s]",
        "<cancel> [all] [the|my] reminders",
    ),
}
_CANNOT_REPEAT = "I can repeat reminders on days of the week only, so I have set none."
_PERSON = {
    "my": "your",
    "me": "you",
    "mine": "yours",
    "i": "you",
    "am": "are",
    "myself": "yourself",
    "our": "your",
    "your": "my",
    "yours": "mine",
}


def reminder_ability(alarms: Alarms) -> Ability:
    """Reminders."""
    return Ability(
        name="reminders",
        example="remind me to call Anna at five",
        sentences=SENTENCES,
        answer=lambda request: _answer(alarms, request),
        by_keywords=lambda request: reminder_wanted(
            request.slots["text"], request.clauses, request.now
        ),
        about=("remind", "reminder", "reminders", "do not let me forget"),
    )


def _answer(alarms: Alarms, request: Request) -> Answer | None:
    now = alarms.shelf.now()
    if request.intent == "cannot_repeat":
        return Answer(_CANNOT_REPEAT)
    if request.intent in ("to", "about", "that"):
        return _set(alarms, request)
    if request.intent == "without_what":
        if "when" in request.slots and moment(request.slots["when"], request.now) is None:
            return None
        if request.whole:
            return None  # the rest of the sentence may say it
        when = request.slots.get("when")
        return Answer("Of what?", completes=f"remind me {when} to" if when else "remind me to")
    found = alarms.of("reminder")
    if not found:
        return Answer("You have no reminder.")
    if request.intent == "list":
        told = joined_words([listed(one, now) for one in found])
        count = "a reminder" if len(found) == 1 else f"{len(found)} reminders"
        return Answer(f"You have {count}: {told}.")
    if request.intent == "cancel_all":
        told = "Reminder" if len(found) == 1 else f"All {len(found)} reminders"
        return alarms.removing(found, f"{told} cancelled.")
    which = request.slots.get("which")
    if which in ("all", "all the", "every", "both"):
        return None
    if which is None and len(found) > 1:
        told = joined_words([listed(one, now) for one in found])
        return Answer(f"You have {len(found)} reminders: {told}. Which one do you mean?")
    chosen = _chosen(found, which)
    if chosen is None:
        return Answer(f"You have no reminder about {second_person(which or '')}.")
    if request.intent == "cancel":
        return alarms.removing([chosen], f"I do not remind you {chosen.name} any more.")
    return _change(alarms, chosen, request)


def _chosen(found: Sequence[Alarm], which: str | None) -> Alarm | None:
    """The reminder that is meant."""
    wanted = set(second_person(which).split()) if which else set()
    return next((one for one in found if wanted <= set(one.name.split())), None)


def _change(alarms: Alarms, reminder: Alarm, request: Request) -> Answer | None:
    """Let a reminder come at another time."""
    now = alarms.shelf.now()
    if request.intent == "shift":
        shifted = alarms.shifted(reminder, request)
        if not isinstance(shifted, Alarm):
            return shifted
        moved = shifted
    else:
        when = moment(request.slots["when"], request.now)
        if when is None:
            return None
        at = when.at
        if reminder.local_time is not None:
            if not when.by_clock and when.after_seconds is None:  # another day, at the same time
                at = at.replace(hour=reminder.local_time.hour, minute=reminder.local_time.minute)
            elif names_no_day(request.slots["when"]):
                at = _same_day(at, reminder.local_time, now)
        moved = replace(
            reminder, local_time=at, seconds=None, days=when.days or reminder.days,
            due_wall=None, due_elapsed=None, boot="",
        )  # fmt: skip
    return alarms.changing(reminder, moved, f"I remind you {moved.name} {said_when(moved, now)}.")


def _same_day(at: datetime, before: datetime, now: Now) -> datetime:
    """The time of day of `at` on the day of `before`, if that is still to come."""
    there = datetime.combine(before.date(), at.time())
    return there if there > now.local.replace(tzinfo=None) else at


def _set(alarms: Alarms, request: Request) -> Answer | None:
    what, when = request.slots["what"], request.slots.get("when")
    if repeats_otherwise(f"{when or ''} {what} {request.whole}"):
        return Answer(_CANNOT_REPEAT)
    if when is not None and AND in when:
        read = [moment(one, request.now) for one in when.split(AND)]
        return _adding(alarms, request, what, [one for one in read if one is not None])
    found = FoundMoment(when, ()) if when is not None else moment_in(what, request.now)
    if found is None and request.whole:
        found = moment_in(request.whole, request.now)
    if found is None:
        if request.whole:
            return None  # words elsewhere may say it
        return Answer("When?", completes=f"remind me {request.intent} {what}")
    what = re.sub(r"^(?:to|about|of|that|and) |(?: and| to)$", "", found.taken_from(what))
    named = moment(on_day(found, [request.whole], request.now).said, request.now)
    if named is None or not what or what in ("that", "it", "this"):
        return None
    return _adding(alarms, request, what, [named])


def _adding(alarms: Alarms, request: Request, what: str, moments: Sequence[Moment]) -> Answer:
    reminders = [
        Alarm(
            kind="reminder",
            name=f"{request.intent} {second_person(what)}",
            seconds=one.after_seconds,
            local_time=None if one.after_seconds is not None else one.at,
            days=one.days,
        )
        for one in moments
    ]
    now = alarms.shelf.now()
    told = joined_words([said_when(alarms.shelf.begun(one), now) for one in reminders])
    return alarms.adding(f"I remind you {reminders[0].name} {told}.", *reminders)


def second_person(words: str) -> str:
    """Say the user's words from Attune's side: "take my pills" becomes "take your pills"."""
    return " ".join(_PERSON.get(word, word) for word in re.split(r"\s+", words.strip()))
