"""Tells an order from the report of one: "the note says turn off the lights" asks for nothing.
Pure."""

import re

_REPORTS = re.compile(
    r"\b(?:says?|said|saying|tells? (?:him|her|them|people|everyone|you)|told|reads?:|wrote|written"
    r"|writes|quotes?|quoted|means?|meaning|spells?|heard (?:him|her|them|somebody|someone)"
    r"|repeats?|translate|pronounce|the (?:word|words|sentence|phrase|note|sign|letter|message"
    r"|email|text|page|book|film|song|story|label|title)|ignore (?:all|any|your|the|every|previous)"
    r"|instructions?|pretend|imagine|suppose|what if|if i (?:say|said),?|never say|do not say"
    r"|system prompt|override|from now on|as an? (?:admin|administrator|owner))\b",
    re.IGNORECASE,
)

_ASKS = re.compile(r"\b(?:can|could|would|will) you\b", re.IGNORECASE)
_OWN = re.compile(r"\b(?:what|that|thing) i (?:just |ever )?(?:say|said|told you)\b", re.IGNORECASE)


def is_reported(text: str) -> bool:
    """Return whether `text` tells of words rather than says them."""
    return _REPORTS.search(_OWN.sub(" ", text)) is not None


def asks(text: str) -> bool:
    """Return whether `text` asks for something itself, as in "the recipe says ten minutes, can you
    time that?"."""
    return _ASKS.search(text) is not None
