"""Keeps the user's lists: a shopping list, what is to be done, and others."""

import re
from collections.abc import Sequence
from typing import Protocol

from ..alarms.spoken_times import capitalised, joined_words
from .ability import Ability, Answer, Request
from .keywords.finding import has
from .keywords.lists import PRONOUNS, list_wanted
from .keywords.things import is_thing, items_of, part_found, thing_found, things_told_of
from .sentences.plain_request import is_statement

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
    "jobs": _TO_DO,
}
SENTENCES = {
    "add": (
        "<put> [down] {item} (to|on|onto|in|into|under) [<the>] {list} list",
        "<put> [down] {item} (to|on|onto|in|into|under) [<the>] list (for|of|called|named) [<the>]"
        " {list}",
        "<put> [down] [on|onto|to|in|into] [<the>] {list} list {item}",
        "<put> [down] (on|onto|to|in|into) [<the>] list {item}",
        "[we|i|you] (need|want) {item} (on|from) [<the>] {list} list",
        "<put> [down] {item} (to|on|onto|in) [<the>] list",
        "<put> [down] {item} [to|on|onto] [<the>] (shopping|groceries|grocery)",
        "add {bought}",
        "[we|i] (need|have) to buy {item}",
        "(we|i) (need|are out of|am out of|ran out of|have run out of|have no more|are running out"
        " of|are low on|should buy|must buy) [some|more|any] {bought}",
        "i (have|need) to (remember to buy|get) {bought} [from|at] [the] (shop|store|supermarket)",
        "(buy|get) {bought} [from|at] [the] (shop|store|supermarket|market)",
        "[<set>] (new|another) item [on|for] [<the>] {list} list {item}",
    ),
    "add_bare": (
        "{item} (on|onto|to) [<the>] {list} list",
        "{item} (on|onto|to) [<the>] (list|shopping)",
    ),
    "remove": (
        "(remove|delete|take|cross|strike|drop|scratch|erase|check|tick) [off|out|away] {item}"
        " (from|off|off of|of|on) [<the>] {list} list",
        "(remove|delete|take|cross|strike|drop|scratch|erase|check|tick) {item} (off|from)"
        " [<the>] list",
        "{item} can (come|go) off [<the>] {list} list",
        "{item} can (come|go) off [<the>] list",
        "(tick|cross|check|strike) off {done}",
        "(tick|cross|check|strike) {done} off",
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
        "<set> [me|us] [<the>] new {list} list",
        "<set> [me|us] [<the>] [new] list (called|named|for) [<the>] {list}",
    ),
    "lists": (
        "(what|which|how many) lists (are there|do i have|do we have|have i got)",
        "(list|<tell>|show) [all] [<the>] lists",
    ),
}
_ASKING = frozenset("what which how any is are do does did have who tell read show".split())
_COOKS = "then|first|you|stir|whisk|melt|mix|boil|fry|bake|pan|bowl|step|until"
_NO_NAME = frozenset("a an the on to this that my your of for in with de da is and or".split())


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
            request.slots["text"],
            request.clauses,
            request.last.heard.lower() if request.last else "",
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
    if "done" in slots:
        holds = (one for one in lists.names() if thing_found(slots["done"], lists.items(one)))
        name = next(holds, _TO_DO)
    there = lists.items(name)
    bare = request.intent == "add_bare"
    match request.intent:
        case "add" | "add_bare":
            items = items_of(slots.get("item") or slots["bought"])
            if ("item" not in slots or bare) and not all(map(is_thing, items)):
                return None
            if "bought" in slots and has(request.whole, _COOKS):
                return None  # a step of a recipe
            if any(PRONOUNS & {item, item.split()[-1]} or is_statement(item) for item in items):
                return None  # the things stand elsewhere in the sentence
            return _add(lists, name, items, there) if items else None
        case "remove":
            items = items_of(slots.get("item") or slots.get("bought") or slots["done"])
            if PRONOUNS & set(items):
                items = things_told_of(slots.get("story", ""), there)
            if not items or any(map(is_statement, items)):
                return None
            found = [kept for kept in (part_found(item, there) for item in items) if kept]
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
            on = [item for item in items if part_found(item, there)]
            if not items or slots["item"] in ("anything", "something", "things"):
                return Answer(_told(name, there))
            if len(on) == len(items):
                return Answer(f"Yes, {joined_words(items)} {_is(items)} on the {name}.")
            off = [item for item in items if item not in on]
            return Answer(f"No, {joined_words(off)} {_is(off)} not on the {name}.")
        case "clear":
            if request.whole and has(request.whole, "on it|in it|on there"):
                return None  # a new one, and what is to be put on it
            if not there:
                return Answer(f"The {name} is empty.")
            return Answer(
                f"The {name} is empty now.",
                lambda: lists.remove(name, there),
                lambda: lists.add(name, there),
                grave=True,
            )
    return None


def _add(lists: Lists, name: str, items: Sequence[str], there: Sequence[str]) -> Answer:
    new = [item for item in items if thing_found(item, there) is None]
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
    bare = re.sub(
        r"^(?:(?:the|a|my|our|your|an|whole|entire|complete|full|new|old|all|of) )+",
        "",
        words.strip(),
    )
    if bare in _NAMES:
        return _NAMES[bare]
    if f"{bare} list" in there:
        return f"{bare} list"
    # A new one may have any name, if that is short and no part of a sentence.
    if not bare or len(bare.split()) > 2 or any(word in _NO_NAME for word in bare.split()):
        return None
    return f"{bare} list"


def _told(name: str, there: Sequence[str]) -> str:
    if not there:
        return f"The {name} is empty."
    if len(there) > _LONGEST_TOLD:
        first = ", ".join(there[:_LONGEST_TOLD])
        return f"There are {len(there)} things on the {name}. The first are {first}."
    return f"On the {name}: {joined_words(there)}."


def _is(items: Sequence[str]) -> str:
    return "is" if len(items) == 1 and not items[0].endswith("s") else "are"
