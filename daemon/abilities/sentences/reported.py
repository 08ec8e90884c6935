"""Tells an order from the report of one: "the note says turn off the lights" asks for nothing.
Pure."""

import re

from .patterns import any_of

_VERBS = any_of(
    """says? said saying tells? told writes? wrote written quot(?:e|es|ed|ing) means? meaning
    spells? repeats? translate pronounce ignore pretend imagine suppose override instructions?
    murmur(?:s|ed) mutter(?:s|ed) whisper(?:s|ed) shout(?:s|ed) yell(?:s|ed) scream(?:s|ed)
    groan(?:s|ed) babbl(?:es|ed) announc(?:es|ed|ing) scribbl(?:es|ed) begged begs mumbl(?:es|ed)
    repl(?:ies|ied) answered shriek(?:s|ed) growl(?:s|ed) sings? sang singing lyrics? intoned
    recit(?:es|ed) read(?:s|ing) claims? claimed insist(?:s|ed) demand(?:s|ed) commands?
    commanded ordered suggest(?:s|ed) asks? asked typed texted printed chant(?:s|ed) hums?
    humming hummed"""
)
_NOUNS = any_of(
    """words? sentence phrase note sign letter message email e-mail text page book film song story
    label title headline line verse chapter caption subtitle poster postcard poem sticker leaflet
    booklet brochure manual card plural singular"""
)
_BY_NOUNS = re.compile(
    rf"\b(?:the|a|of|my|this|that|another|which|what) (?:{_NOUNS}|verb|noun)\b(?! list)",
    re.IGNORECASE,
)
_REPORTS = re.compile(
    rf"""\b(?:{_VERBS})\b
    | \bheard\ (?:him|her|them|somebody|someone|the)\b
    | \b(?:goes|went)[,:]
    | \b(?:begins|ends|finishes|starts|opens|closes)\ with\b
    | \b(?:system|text|voice)\ (?:prompt|message)\b
    | \b(?:what\ if|if\ i\ (?:say|said)|never\ say|developer\ mode|in\ bold
      |from\ now\ on,?\ (?:when|whenever|if|every\ time|each))\b
    | \bas\ an?\ (?:admin|administrator|owner)\b
    | \b(?:homework|grammar|dream|dreamt|dreamed)\b
    | ^(?:page|step|verse|chapter|line)\ \w+\b
    | ["\u201c\u201d\u00ab\u00bb\u201e] | (?<!\w)'(?=\w)""",
    re.IGNORECASE | re.VERBOSE,
)
_OWN = re.compile(
    r"""\b(?:what|that|thing)\ i\ (?:just\ |ever\ )?(?:say|said|told\ you)\b
    | \b(?:reminds?\ me|remember|want|need|got|have|going|ought|supposed|to|and|me)
      (?:\ to)?\ (?:call|ask|tell|text|email|read|answer|write)\b
    | ^(?:please|kindly)\ (?:(?:you|to)\ )?(?:write|read|tell|say)\b
    | \bwrite\ (?:that|it|this|them)\ down\b
    | \b(?:tell|ask)\ me\b | \b(?:i\ would|would\ you|so\ to)\ say\b | \bcalled\ (?!out|from)""",
    re.IGNORECASE | re.VERBOSE,
)
"""The user's own saying, which is no report."""
_ASKS = re.compile(
    r"""\b(?:can|could|would|will)\ you\b | \bso,?\ (?:set|put|start|remind|wake|add|get|nudge|jog
      |give\ (?:me|us))\b
    | \bso\b[^,.:;]*\bremind\ (?:me|us)\b""",
    re.IGNORECASE | re.VERBOSE,
)
_ORDERS = re.compile(
    r"""[,.]\ (?:please\ )?(?:(?:remind|wake|nudge)
      \ (?:me|us)|(?:do\ not|don't)\ let\ (?:me|us)|give\ (?:me|us)\ a\ (?:shout|nudge)
      |(?:start|set|time|count|put)\ (?:the|it|that|them|a|me)\b[^,.:;]*
      \b(?:please|for\ me|for\ us)\b)""",
    re.IGNORECASE | re.VERBOSE,
)
_QUOTES = re.compile(
    r"""\b(?:sa(?:id|ys)|told|tells|asks|asked|begs|begged|reads|writes|wrote|shout(?:s|ed)|yell(?:s|ed)
      |whisper(?:s|ed)|called|cried|repl(?:ies|ied)|answered)(?:\ [\w']+){0,3},""",
    re.IGNORECASE | re.VERBOSE,
)
"""Somebody is going to be quoted."""


def is_reported(text: str, *, by_nouns: bool = True) -> bool:
    """Return whether `text` tells of words rather than says them; without `by_nouns`, not if it
    names nothing but a letter or the like."""
    rest = _OWN.sub(" ", text)
    return _REPORTS.search(rest) is not None or (by_nouns and _BY_NOUNS.search(rest) is not None)


def asks(text: str) -> bool:
    """Return whether `text` asks for something itself, as in "the recipe says ten minutes, can you
    time that?"."""
    if _ASKS.search(text) is not None:
        return True
    return _ORDERS.search(text) is not None and _QUOTES.search(text) is None
