"""What a sentence wants of lists, by single words. Pure."""

import re
from collections.abc import Sequence

from ..sentences.plain_request import is_statement
from .finding import CANCEL, Wanted, has

_LIST = re.compile(
    r"\b(?:(?P<name>shopping|grocery|groceries|to do|todo|to dos|todos|to-do|task|tasks"
    r"|packing|wish|christmas|gift|reading|birthday|[a-z]+) lists?|(?P<bare>to dos|todos|groceries"
    r"|shopping list|list|shopping))\b"
)
_NAME_BEFORE = frozenset("the my our a this that your on to whole entire same of".split())
PRONOUNS = frozenset("that it those them this these some".split())
_ADD = (
    "add|put|write|note|pop|stick|jot|chuck|need|include|get|buy|throw|bung|enter|append|want"
    "|running out|run out|out of|low on|pick up"
)
_REMOVE = "remove|delete|cross|strike|tick|take|scratch|check|drop|done|bought|got"
_CLEAR = "clear|empty|wipe|everything|start over|start again|erase|reset|scrap|whole|clean"
_READ = "what|read|show|tell|list|which|open|go through|hear|left|see|say|remind me what"
_MISSING = re.compile(
    r"\b(?:out of|run out of|ran out of|short of|low on|no more|need|needs|finished|used up|have no"
    r"|has no|there is no|last of|end of|wants?|calls for|forgot|empty of|without) "
    r"(?P<item>[a-z' ]+?)(?= ,|$| for\b| because\b)"
)
_GONE = re.compile(
    r"(?:^|, )(?P<item>[a-z' ]+?) (?:is|are) (?:nearly |almost |all )*"
    r"(?:gone|finished|empty|low|out)\b"
)
_ASIDE = (
    r"\b(?:please|can you|could you|would you|will you|for me|um|er|uh|also|too|as well|just|i need"
    r"|we need|i want|we want|you to|i would like|oh|and then|some|it is|let us)\b"
)


def list_wanted(text: str, clauses: Sequence[str] = (), before_that: str = "") -> Wanted | None:
    """What `text` with these clauses wants of lists, where `before_that` was said before; None if
    nothing."""
    order, story = _order(text, clauses)
    wanted = _wanted(order, story, before_that) if order != text else None
    if wanted is not None and wanted[0] == "read" and not has(order, _READ.replace("|list|", "|")):
        wanted = None
    return wanted or _wanted(text, "", before_that)


def _order(text: str, clauses: Sequence[str]) -> tuple[str, str]:
    """The clauses from the one that says what is to be done to the one with the list, and those
    before them."""
    places = [place for place, one in enumerate(clauses) if _LIST.search(one)]
    if not places:
        return text, ""
    last = places[-1]
    verbs = [
        place for place in range(last + 1) if has(clauses[place], f"{_ADD}|{_REMOVE}|{_CLEAR}")
    ]
    start = verbs[-1] if verbs else last
    named = _LIST.search(clauses[last])
    assert named is not None
    if start == last and not clauses[last][: named.start()].strip():
        return text, ""  # the things come after the name of the list
    return " and ".join(clauses[start : last + 1]), " , ".join(clauses[:start])


def _wanted(text: str, told: str, before_that: str) -> Wanted | None:
    found = _LIST.search(text)
    spoken_of = _LIST.search(before_that)
    if found is None and spoken_of is not None:
        name = _name(spoken_of)
        added = re.search(
            rf"\b(?:{_ADD})\b (?:down )?(?P<item>.+?) (?:on|to|in) (?:there|it|that)\b", text
        ) or re.search(r"^(?:and|also) (?P<item>[a-z ]+)$", text)
        if added is not None and _tidy(added["item"]):
            return "add", {**({} if name is None else {"list": name}), "item": _tidy(added["item"])}
    if found is None:
        at_shop = has(text, "(?:from|at|to) the (?:shops?|supermarket|store)")
        wants = re.match(r"^(?:.* )?(?:what|which)\b.*\b(?:get|buy|need)\b", text)
        buys = has(text, "buy")
        return ("read_shopping", {}) if (at_shop or buys) and wants is not None else None
    called = re.match(r" (?:for|called|named) (?:the |my )?([a-z]+)\b", text[found.end() :])
    name = called[1] if called is not None else _name(found)
    slot = {} if name is None else {"list": name}
    before, after = text[: found.start()].strip(), text[found.end() :].strip()
    it = re.search(rf"\b(?:{_ADD}) (?:it|that|them|those|this|these|some|one)\b", before)
    missing = (_MISSING.search(told) or _GONE.search(told)) if it is not None else None
    if missing is None and it is not None:
        bare = [one for one in told.split(" , ") if one and not is_statement(one)]
        missing = re.fullmatch(r"(?P<item>[a-z']+(?: [a-z']+){0,2})", bare[-1]) if bare else None
    if missing is not None and _thing(missing["item"]):
        return "add", {**slot, "item": _thing(missing["item"])}
    goes = re.search(
        r"(?P<item>[^,]+?) (?:goes|go|belongs?|should (?:be|go)|has to (?:be|go)) (?:on|in|to|onto)"
        r"(?: the| my| our)?$",
        before,
    )
    if goes is not None and not _is_question(before):
        item = _tidy(goes["item"])
        item = _tidy(told.split(" , ")[-1]) if item in PRONOUNS or not item else item
        if item:
            return "add", {**slot, "item": item}
    story = re.search(
        r"\b(?:out of|run out of|need|no more|low on|finished|used up|have no) (?:the |any |some )?"
        r"(?P<item>[a-z]+(?: [a-z]+)?)(?: left| now)? (?:and |so )?(?:please )?"
        rf"(?:{_ADD}) (?:it|that|them|those|some)",
        before,
    )
    if story is not None:
        return "add", {**slot, "item": story["item"]}
    question = _is_question(text)
    has_item = re.search(
        r"\b(?:is|are|have i(?: already)? got|do i have|did i(?: already)? (?:put|add)"
        r"|have i(?: already)?(?: put)?) (?:there )?(?:any |already |the )?(?P<item>[a-z ]+?)"
        r"(?: already| down)? (?:on|in|to|from)(?: the| my| our)?$",
        before,
    )
    if has_item is not None and not question and not has(before, "add|write"):
        return "has", {**slot, "item": has_item["item"]}
    taken = re.search(
        rf"\b(?:{_REMOVE}) (?P<item>.+?) (?:off|from|out of|off of)(?: the| my| our)?$", before
    ) or re.search(
        rf"\b(?:{_REMOVE}) (?:off|out) (?P<item>.+?) (?:on|from|of|off)(?: the| my| our)?$", before
    )
    if taken is not None and not question:
        item = taken["item"]
        if item in PRONOUNS:
            return "remove", {**slot, "item": item, "story": f"{told} {before[: taken.start()]}"}
        if item in ("everything", "it all", "all of it"):
            return "clear", slot
        return "remove", {**slot, "item": item}
    if has(text, _CLEAR) and (has(text, CANCEL) or has(text, "clear|empty|wipe|clean|over")):
        return "clear", slot
    if question or (has(before, _READ) and not has(before, _ADD)):
        return "read", slot
    item = _added(before, after)
    if item:
        return "add", {**slot, "item": item}
    return ("read", slot) if has(text, _READ) else None


def _is_question(text: str) -> bool:
    """Whether `text` asks what is on a list."""
    return bool(re.search(r"\b(?:what|which|how many)\b|\bany\b.*\b(?:left|on)\b", text))


def _thing(words: str) -> str:
    return re.sub(
        r"^(?:(?:the|any|some|more|his|her|my|our|their|a|an) )+"
        r"|(?: (?:again|now|left|already|too|at all|today|either|anymore|any more|in the house))+$",
        "",
        words.strip(),
    )


def _name(found: re.Match[str]) -> str | None:
    name = found["name"] or found["bare"]
    if name in ("list", "shopping", "shopping list", *_NAME_BEFORE) or name is None:
        return "shopping" if name in ("shopping", "shopping list") else None
    return {"to dos": "to do", "todos": "to do", "todo": "to do"}.get(name, name)


def _added(before: str, after: str) -> str:
    """What is to be put on a list, before or after its name."""
    cue = re.search(rf"\b(?:{_ADD})\b(?: down| up)? ", before + " ")
    if cue is not None:
        item = before[cue.end() :]
        item = re.sub(r" ?\b(?:to|on|onto|in|into|down on)(?: to)?(?: the| my| our)?$", "", item)
        if _tidy(item):
            return _tidy(item)
    cue = re.search(rf"\b(?:{_ADD})\b(?: down| up)? ", after + " ")
    if cue is None and re.fullmatch(r"(?:for|on|to|my|the|our|and| )*", before) is None:
        return ""  # nothing says that anything is to be added
    item = after[cue.end() :] if cue is not None else after
    item = re.sub(r" (?:on|to|onto|in) (?:it|there)$", "", item)
    return _tidy(item) if len(item.split()) <= 12 else ""


def _tidy(item: str) -> str:
    item = re.sub(_ASIDE, " ", item)
    item = " ".join(item.split())
    return re.sub(r"^(?:and|to|a|the|that|for) |(?: and| to)$", "", item).strip()
