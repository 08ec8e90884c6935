"""Reminders: told at a time, by voice."""

import re

from ..alarms.alarm import Alarm
from ..alarms.spoken_times import joined_words, moment
from ..alarms.words import listed, said_when
from .ability import Ability, Answer, Request
from .keywords.finding import moment_in
from .keywords.reminders import reminder_wanted
from .timers import Alarms

SENTENCES = {
    "to": (
        "remind me {when} to {what}",
        "remind me to {what}",
        "<set> [me] [<the>|another] reminder [for|at] {when} to {what}",
        "<set> [me] [<the>|another] reminder to {what}",
        "(do not let me forget|make sure i do not forget|make sure [that] i remember) to {what}",
        "(tell|ask) me {when} to {what}",
    ),
    "about": (
        "remind me (about|of) {what}",
        "remind me {when} (about|of) {what}",
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
        by_keywords=lambda request: reminder_wanted(request.slots["text"], request.now),
        about=("remind", "reminder", "reminders", "do not let me forget"),
    )


def _answer(alarms: Alarms, request: Request) -> Answer | None:
    now = alarms.shelf.now()
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
    wanted = set(second_person(which).split()) if which else set()
    chosen = next((one for one in found if wanted <= set(one.name.split())), None)
    if chosen is None:
        return Answer(f"You have no reminder about {second_person(which or '')}.")
    return alarms.removing([chosen], f"I do not remind you {chosen.name} any more.")


def _set(alarms: Alarms, request: Request) -> Answer | None:
    what, when = request.slots["what"], request.slots.get("when")
    named = moment(when, request.now) if when is not None else None
    if when is not None and named is None:
        return None
    if named is None or request.whole:
        # The time stands somewhere in what is to be remembered, or in the rest of the sentence.
        found = moment_in(what if not request.whole else request.whole, request.now)
        if found is None:
            if request.whole:
                return None
            return Answer("When?", completes=f"remind me {request.intent} {what}")
        named = moment(found.said, request.now)
        what = re.sub(r"^(?:to|about|of|that|and) |(?: and| to)$", "", found.taken_from(what))
        if named is None or not what or what in ("that", "it", "this"):
            return None
    reminder = Alarm(
        kind="reminder",
        name=f"{request.intent} {second_person(what)}",
        seconds=named.after_seconds,
        local_time=None if named.after_seconds is not None else named.at,
        days=named.days,
    )
    told = said_when(alarms.shelf.begun(reminder), alarms.shelf.now())
    return alarms.adding(reminder, f"I remind you {reminder.name} {told}.")


def second_person(words: str) -> str:
    """Say the user's words from Attune's side: "take my pills" becomes "take your pills"."""
    return " ".join(_PERSON.get(word, word) for word in re.split(r"\s+", words.strip()))
