"""The things that are named on lists. Pure."""

import re
from collections.abc import Sequence

from .finding import has, length_in

_NO_THING = frozenset(
    "to you your help him her it them that this someone somebody time sleep be know go going a an"
    " the my more another some".split()
) - frozenset(("a", "an", "the", "some", "more"))
_AMOUNT = re.compile(
    r"^(?:(?:\d+|one|two|three|a|an|the|some|half|few|couple|\w+s?) of |\d+ |the )"
)
_NOT_IN_THING = (
    "to|on|i|we|he|she|they|is|are|please|numbers?|together|up|one|two|three|plus|minus|percent"
    "|change|move|make|remove|delete|cross|tick|stick|put|pop|add|write|jot|chuck|note|take|set"
    "|yourself|volume|today|tonight|tomorrow|last"
)
_AND = re.compile(r",\s*(?:and\s+)?|\s+and\s+(?:also\s+)?|\s+as well as\s+|\s+plus\s+")
_ITEM_LEADS = (
    "and ",
    "oh ",
    "then ",
    "also ",
    "some ",
    "any ",
    "a few ",
    "the word ",
    "more ",
    "those ",
)
_ITEM_TAIL = re.compile(
    r"(?: (?:again|as well|too|already|please|first|now|while you are at it|this time|this week"
    r"|for me|down|on there|on it|in there|to it|also|and|on|to|dear|love|thanks|thank you))+$"
)
_KEPT_TOGETHER = ("mac and cheese", "fish and chips", "salt and pepper", "bread and butter")


def items_of(words: str) -> list[str]:
    """The things that `words` name: "milk, eggs and bread" are three."""
    guarded = words
    for pair in _KEPT_TOGETHER:
        guarded = guarded.replace(pair, pair.replace(" and ", " & "))
    items = []
    for part in _AND.split(guarded):
        item = _ITEM_TAIL.sub("", part.strip(" ,."))
        for lead in _ITEM_LEADS:
            item = item.removeprefix(lead)
        item = re.sub(r"^(?:a|an|the) (?=\w)", "", item.replace(" & ", " and "))
        if item and item not in items:
            items.append(item)
    return items


def thing_found(item: str, there: Sequence[str]) -> str | None:
    """The item of a list that is meant, also in its plural or with how much of it."""
    for kept in there:
        if kept == item or _one(kept) == _one(item) or kept.rstrip("s") == item.rstrip("s"):
            return kept
    return None


def part_found(item: str, there: Sequence[str]) -> str | None:
    """The item of a list that is meant, if only a part of its name was said."""
    found = thing_found(item, there) or thing_found(_AMOUNT.sub("", item), there)
    return found or next((kept for kept in there if kept.endswith(f" {item}")), None)


def _one(thing: str) -> str:
    """The singular of an English word, as far as its end tells."""
    return re.sub(r"(?<=[oxsz])es$|(?<=ch)es$|(?<=sh)es$|(?<!s)s$", "", re.sub(r"ies$", "y", thing))


def things_told_of(story: str, there: Sequence[str]) -> list[str]:
    """The items of a list that a story is about: "I have rung the bank" is about "call the
    bank"."""
    words = {word.rstrip("s") for word in story.split() if len(word) > 2} - _NO_THING
    return [item for item in there if words & {word.rstrip("s") for word in item.split()}]


def is_thing(item: str) -> bool:
    """Whether an item that was said without a list is a thing: "I need to be up at 6" is none."""
    words = item.split()
    if set(words) & {"timer", "timers", "alarm", "alarms", "reminder", "reminders", "list"}:
        return False
    if length_in(item) is not None or not re.search(r"[a-z]{2}", item) or has(item, _NOT_IN_THING):
        return False
    return len(words) <= 5 and words[0] not in _NO_THING and not any(w.isdigit() for w in words[1:])
