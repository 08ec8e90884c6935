"""What a language model that is too weak to be trusted is not asked: questions about the world, and
requests to do something. Pure."""

import re
from typing import Literal

from .plain_request import plain_requests

_ASKING = frozenset(
    "who whose whom what when where why which how is are was were am do does did has have had can"
    " could will would should shall may might define explain describe spell translate".split()
)
_ABOUT_US = frozenset("you your yours yourself i me my we us our".split())
_DOING = frozenset(
    "play call phone ring dial send text email mail message open close order book buy find search"
    " look google show watch read write turn switch dim lock unlock start begin run launch take"
    " record navigate drive pay print download install update connect pair post share check"
    " remember remind set cancel delete remove add make cook clean bring get give put move change"
    " increase decrease raise lower skip pause resume mute unmute stop sing translate convert"
    " calculate count wake help teach learn schedule invite answer hang shut reboot restart".split()
)
_TOLD = (
    "tell me about",
    "tell us about",
    "tell me who",
    "tell me what",
    "tell me where",
    "tell me when",
    "tell me why",
    "tell me how",
    "tell me which",
    "i want to know",
    "i would like to know",
    "do you know",
    "give me information",
    "i wonder",
)
_WONDERS = re.compile(
    r"\b(?:wants? to know|wonders?|wondering|asks?|asked|asking|know|tell (?:me|us|him|her|them))"
    r" (?:me |us )?(?:who|whose|what|where|when|why|how|which|whether|if)\b"
)
Kind = Literal["question", "command", "talk"]


def kind_of(words: str) -> Kind:
    """Tell whether `words` ask for a fact, ask for something to be done, or are only talk."""
    text = plain_requests(words)[-1]
    if not text:
        return "talk"
    if text.startswith(_TOLD) or _WONDERS.search(text):
        return "question"
    first = text.split()[0]
    if first in _ASKING:
        return "question"
    if first in _DOING:
        return "command"
    about_us = _ABOUT_US & set(text.replace("'", " ").split())
    return "question" if words.strip().endswith("?") and not about_us else "talk"
