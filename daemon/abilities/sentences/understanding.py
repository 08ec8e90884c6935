"""Finds the ability that a sentence asks for: by templates, and then by templates again with words
that sound or look like those that were heard."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from hassil import Intents, recognize_all
from hassil.recognize import RecognizeResult

from ..ability import Ability, Answer, LastTurn, Request
from .near_words import NearWords
from .plain_request import plain_requests

logger = logging.getLogger(__name__)

_RULES = {
    "the": "(the|a|an|my|our|any|this|that)",
    "tell": "(tell me|say|read|read out|read me|give me|show me|let me know|let me hear)",
    "set": (
        "(set|set up|start|make|create|begin|add|run|put on|give me|schedule|set me"
        "|i (need|want|would like)|(can|could|may) i (have|get))"
    ),
    "cancel": (
        "(cancel|delete|remove|clear|stop|end|drop|get rid of|turn off|switch off|kill|abort)"
    ),
}
_JOIN = "/"


@dataclass(frozen=True)
class Understood:
    """What a sentence asks for, and the answer."""

    ability: Ability
    request: Request
    answer: Answer


class Understanding:
    """The sentences of some abilities, ready to be looked for."""

    def __init__(self, abilities: Sequence[Ability]) -> None:
        self.abilities = tuple(abilities)
        self._by_name = {ability.name: ability for ability in abilities}
        self._intents = Intents.from_dict(_described(abilities))
        self._near = NearWords(
            sentence
            for ability in abilities
            for sentences in ability.sentences.values()
            for sentence in [*sentences, *_RULES.values()]
        )
        self._about = {word for ability in abilities for word in ability.about}

    def understand(
        self, texts: Sequence[str], now: datetime, last: LastTurn | None = None
    ) -> Understood | None:
        """Return what the first of `texts` that is understood asks for: sentences that may have
        been said, the likeliest first. None if none is."""
        plain = list(dict.fromkeys(form for text in texts for form in plain_requests(text)))
        for text in plain:
            if (found := self._exactly(text, now, last)) is not None:
                return found
        for text in plain:
            for near in self._near.sentences(text):
                if (found := self._exactly(near, now, last)) is not None:
                    logger.debug("%r is understood as %r", text, near)
                    return found
        return None

    def about(self, text: str) -> Ability | None:
        """Return the ability that `text` is about, whether or not it is understood; None if it is
        about none."""
        words = plain_requests(text)[-1].split()
        for ability in self.abilities:
            if any(_has(words, about) for about in ability.about):
                return ability
        return None

    def _exactly(self, text: str, now: datetime, last: LastTurn | None) -> Understood | None:
        for ability, request in self._requests(text, now, last):
            answer = ability.answer(request)
            if answer is not None:
                return Understood(ability, request, answer)
        return None

    def _requests(
        self, text: str, now: datetime, last: LastTurn | None
    ) -> Iterator[tuple[Ability, Request]]:
        """The ways to read `text`, those with the most words of their template first."""
        if not text or len(text) > 300:
            return
        found: list[RecognizeResult] = list(recognize_all(text, self._intents))
        found.sort(key=lambda one: -_certain_letters(one, text))
        for one in found:
            name, _, intent = one.intent.name.partition(_JOIN)
            slots = {entity.name: str(entity.value).strip() for entity in one.entities_list}
            yield self._by_name[name], Request(intent, slots, now, last)


def _certain_letters(found: RecognizeResult, text: str) -> int:
    """How many letters of `text` stand outside slots that hold any words."""
    free = sum(len(entity.text.strip()) for entity in found.entities_list if entity.is_wildcard)
    return len(text) - free


def _has(words: Sequence[str], phrase: str) -> bool:
    wanted = phrase.split()
    return any(words[at : at + len(wanted)] == wanted for at in range(len(words)))


def _described(abilities: Sequence[Ability]) -> dict[str, Any]:
    """The abilities in hassil's form."""
    lists: dict[str, Any] = {}
    intents: dict[str, Any] = {}
    for ability in abilities:
        for intent, sentences in ability.sentences.items():
            intents[f"{ability.name}{_JOIN}{intent}"] = {"data": [{"sentences": list(sentences)}]}
            for sentence in sentences:
                for name in _slots_of(sentence):
                    values = ability.lists.get(name)
                    lists[name] = {"values": list(values)} if values else {"wildcard": True}
    return {"language": "en", "intents": intents, "lists": lists, "expansion_rules": _RULES}


def _slots_of(sentence: str) -> list[str]:
    return [part.split("}")[0] for part in sentence.split("{")[1:]]
