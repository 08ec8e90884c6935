"""Keeps the user's lists: a shopping list, what is to be done, and others."""

import re
from collections.abc import Sequence
from typing import Protocol

from ..alarms.spoken_times import capitalised, joined_words
from .ability import Ability, Answer, Request
from .keywords.lists import PRONOUNS, list_wanted

MOST_ITEMS = 200
_LONGEST_TOLD = 15
_SHOPPING, _TO_DO = "shopping list", "to do list"
_NAMES = {
    "shopping": _SHOPPING,
    "grocery": _SHOPPING,
    "groceries": _SHOPPING,
    "shopping and grocery": _SHOPPING,
    "food": _SHOPPING,
    "market": _SHOPPING,
    "to do": _TO_DO,
    "todo": _TO_DO,
    "to-do": _TO_DO,
    "task": _TO_DO,
    "tasks": _TO_DO,
    "chores": _TO_DO,
}
SENTENCES = {
    "add": (
        "(add|put|write|note|place|stick|get|include) [down] {item} (to|on|onto|in|into|under)"
        " [<the>] {list} list",
        "(add|put|write|note) [down] [on|onto|to] [<the>] {list} list {item}",
        "[we|i|you] (need|want) {item} (on|from) [<the>] {list} list",
        "(add|put|write|note) [down] {item} (to|on|onto|in) [<the>] list",
        "(add|put|write|note) [down] {item} [to|on|onto] [<the>] (shopping|groceries|grocery)",
        "[we|i] (need|have) to buy {item}",
        "(we|i) (need|are out of|am out of|ran out of|have run out of|have no more|are running out"
        " of|are low on|should buy|must buy) [some|more|any] {bought}",
        "i (have|need) to (remember to buy|get) {bought} [from|at] [the] (shop|store|supermarket)",
        "(buy|get) {bought} [from|at] [the] (shop|store|supermarket|market)",
        "[<set>] (new|another) item [on|for] [<the>] {list} list {item}",
    ),
    "add_bare": ("{item} (on|onto|to) [<the>] {list} list",),
    "remove": (
        "(remove|delete|take|cross|strike|drop|scratch|erase|check|tick) [off|out|away] {item}"
        " (from|off|off of|of|on) [<the>] {list} list",
        "(remove|delete|take|cross|strike|drop|scratch|erase|check|tick) {item} (off|from)"
        " [<the>] list",
        "(i|we) (bought|got|have bought|have got|already have|already bought) [the|some] {bought}",
        "[i|we] [do not|no longer] need {item} (on|from) [<the>] {list} list [any more|anymore]",
    ),
    "read": (
        "(what is|what are|what do i have|what have i got|what do we have|what have we got|what"
        " stands|what all is) [the things|written] [on|in] [<the>] {list} list",
        "(<tell>|show|list|open|check|go through) [what is] [on|in] [<the>] {list} list",
        "how (many|much) [things|items] (is|are|do i have|do we have|have i got) [there] [on|in]"
        " [<the>] {list} list",
        "(is|are) [there] (anything|something|things) on [<the>] {list} list",
    ),
    "read_bare": ("[<the>] {list} list",),
    "read_shopping": (
        "what (do i|do we|should i|must i|should we) [need to|have to] buy [today]",
        "what (do i|do we|must i) (need to|have to) get [today]",
        "what (do i|do we) (need|have to get) (from|at) the (shop|store|supermarket)",
    ),
    "read_to_do": (
        "what (do i|should i|must i|is there) [need to|have to|left to] do [today]",
        "what (is|are) [my] (tasks|to dos|todos|chores) [for] [today]",
    ),
    "has": (
        "(is|are|do i have|do we have|have i got) [there] {item} on [<the>] {list} list",
        "did (i|we) (put|add|write) {item} (on|to) [<the>] {list} list",
        "did (i|we) (put|add|write|note) {item} [down] for [the] shopping [already]",
        "does [<the>] {list} list (have|include|contain) {item}",
    ),
    "clear": (
        "(clear|empty|delete|erase|wipe|reset|start over) [all of] [<the>] {list} list",
        "(remove|delete|clear|take) (everything|all [items|things]) (from|off|on) [<the>] {list}"
        " list",
        "<set> [<the>] new {list} list",
    ),
    "lists": (
        "(what|which|how many) lists (are there|do i have|do we have|have i got)",
        "(list|<tell>|show) [all] [<the>] lists",
    ),
}
_NO_THING = frozenset(
    "to you your help him her it them that this someone somebody time sleep be know go going a an"
    " the my more another some".split()
) - frozenset(("a", "an", "the", "some", "more"))
_ASKING = frozenset("what which how any is are do does did have who tell read show".split())
_NO_NAME = frozenset("a an the on to this that my your of for in with de da is and or".split())
_AND = re.compile(r",\s*(?:and\s+)?|\s+and\s+(?:also\s+)?|\s+as well as\s+|\s+plus\s+")
_ITEM_LEADS = ("some ", "a few ", "also ", "the word ", "more ")
_KEPT_TOGETHER = ("mac and cheese", "fish and chips", "salt and pepper", "bread and butter")


class Lists(Protocol):
    """Where lists are kept."""

    def items(self, name: str) -> list[str]:
        """The items of a list, in the order in which they were added."""

    def names(self) -> list[str]:
        """The names of the lists."""

    def add(self, name: str, items: Sequence[str]) -> None:
        """Add items. Raises AttuneError if that cannot be."""

    def remove(self, name: str, items: Sequence[str]) -> None:
        """Remove items that are there. Raises AttuneError if that cannot be."""


def list_ability(lists: Lists) -> Ability:
    """The lists that `lists` keeps."""
    return Ability(
        name="lists",
        example="add milk to the shopping list",
        sentences=SENTENCES,
        answer=lambda request: _answer(lists, request),
        by_keywords=lambda request: list_wanted(
            request.slots["text"], request.last.heard.lower() if request.last else ""
        ),
        words=lists.names,
        about=("shopping list", "to do list", "grocery list", "my list", "the list", "todo list"),
    )


def _answer(lists: Lists, request: Request) -> Answer | None:
    slots = request.slots
    if request.intent == "lists":
        names = lists.names()
        return Answer(f"You have {joined_words(names)}." if names else "All lists are empty.")
    named = slots.get("list")
    name = _TO_DO if request.intent == "read_to_do" else _SHOPPING
    if named is not None:
        found_name = list_name(named, lists.names())
        if found_name is None:
            return None
        # "Milk on the shopping list" adds milk; "what is on the shopping list" does not.
        known = found_name in (_SHOPPING, _TO_DO, *lists.names())
        if request.intent == "add_bare" and (not known or slots["item"].split()[0] in _ASKING):
            return None
        name = found_name
    there = lists.items(name)
    match request.intent:
        case "add" | "add_bare":
            items = items_of(slots.get("item") or slots["bought"])
            if ("bought" in slots and not all(map(_is_thing, items))) or PRONOUNS & set(items):
                return None
            return _add(lists, name, items, there) if items else None
        case "remove":
            items = items_of(slots.get("item") or slots["bought"])
            if PRONOUNS & set(items):
                items = _told_of(slots.get("story", ""), there)
            if not items:
                return None
            found = [kept for kept in (_found(item, there) for item in items) if kept]
            if "bought" in slots and not found:
                return None  # somebody tells what they bought
            if not found:
                return Answer(f"There is no {joined_words(items)} on the {name}.")
            return Answer(
                f"I took {joined_words(found)} off the {name}.",
                lambda: lists.remove(name, found),
                lambda: lists.add(name, found),
                grave=True,
            )
        case "read_bare" if request.whole:
            return None  # what is to be done with it stands in the rest of the sentence
        case "read" | "read_bare" | "read_shopping" | "read_to_do":
            return Answer(_told(name, there))
        case "has":
            items = items_of(slots["item"])
            on = [item for item in items if _found(item, there)]
            if not items or slots["item"] in ("anything", "something", "things"):
                return Answer(_told(name, there))
            if len(on) == len(items):
                return Answer(f"Yes, {joined_words(items)} {_is(items)} on the {name}.")
            off = [item for item in items if item not in on]
            return Answer(f"No, {joined_words(off)} {_is(off)} not on the {name}.")
        case "clear":
            if not there:
                return Answer(f"The {name} is empty.")
            return Answer(
                f"The {name} is empty now.",
                lambda: lists.remove(name, there),
                lambda: lists.add(name, there),
                grave=True,
            )
    return None


def _is_thing(item: str) -> bool:
    """Whether an item that was said without a list is a thing: "I need to be up at 6" is none."""
    words = item.split()
    if set(words) & {"timer", "timers", "alarm", "alarms", "reminder", "reminders", "list"}:
        return False
    return len(words) <= 4 and words[0] not in _NO_THING and not any(w.isdigit() for w in words[1:])


def _add(lists: Lists, name: str, items: Sequence[str], there: Sequence[str]) -> Answer:
    new = [item for item in items if _found(item, there) is None]
    if not new:
        return Answer(f"{capitalised(joined_words(items))} {_is(items)} on the {name} already.")
    if len(there) + len(new) > MOST_ITEMS:
        return Answer(f"The {name} is full, with {len(there)} things. Please remove some first.")
    known = [item for item in items if item not in new]
    told = f" {capitalised(joined_words(known))} {_is(known)} on it already." if known else ""
    return Answer(
        f"I put {joined_words(new)} on the {name}.{told}",
        lambda: lists.add(name, new),
        lambda: lists.remove(name, new),
    )


def list_name(words: str, there: Sequence[str]) -> str | None:
    """The name of the list that `words` before "list" mean, where the lists `there` have items;
    None if they mean none."""
    bare = re.sub(r"^(?:the|a|my|our|your|an) ", "", words.strip())
    if bare in _NAMES:
        return _NAMES[bare]
    if f"{bare} list" in there:
        return f"{bare} list"
    # A new one may have any name, if that is short and no part of a sentence.
    if not bare or len(bare.split()) > 2 or any(word in _NO_NAME for word in bare.split()):
        return None
    return f"{bare} list"


def items_of(words: str) -> list[str]:
    """The things that `words` name: "milk, eggs and bread" are three."""
    guarded = words
    for pair in _KEPT_TOGETHER:
        guarded = guarded.replace(pair, pair.replace(" and ", " & "))
    items = []
    for part in _AND.split(guarded):
        item = part.strip(" ,.")
        for lead in _ITEM_LEADS:
            item = item.removeprefix(lead)
        item = re.sub(r"^(?:a|an|the) (?=\w)", "", item.replace(" & ", " and "))
        if item and item not in items:
            items.append(item)
    return items


def _found(item: str, there: Sequence[str]) -> str | None:
    """The item of a list that is meant, also in its plural or with how much of it."""
    for kept in there:
        if kept == item or _one(kept) == _one(item) or kept.rstrip("s") == item.rstrip("s"):
            return kept
    for kept in there:
        if kept.endswith(f" {item}") or item.endswith(f" {kept}"):
            return kept
    return None


def _one(thing: str) -> str:
    """The singular of an English word, as far as its end tells."""
    return re.sub(r"(?<=[oxsz])es$|(?<=ch)es$|(?<=sh)es$|(?<!s)s$", "", re.sub(r"ies$", "y", thing))


def _told_of(story: str, there: Sequence[str]) -> list[str]:
    """The items of a list that a story is about: "I have rung the bank" is about "call the
    bank"."""
    words = {word.rstrip("s") for word in story.split() if len(word) > 2} - _NO_THING
    return [item for item in there if words & {word.rstrip("s") for word in item.split()}]


def _told(name: str, there: Sequence[str]) -> str:
    if not there:
        return f"The {name} is empty."
    if len(there) > _LONGEST_TOLD:
        first = ", ".join(there[:_LONGEST_TOLD])
        return f"There are {len(there)} things on the {name}. The first are {first}."
    return f"On the {name}: {joined_words(there)}."


def _is(items: Sequence[str]) -> str:
    return "is" if len(items) == 1 and not items[0].endswith("s") else "are"
