"""Finds the ability that a sentence asks for: by templates, which may fit a part of it; by
templates again with words that sound or look like those that were heard; and by single words."""

import logging
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any

from hassil import Intents, recognize_all
from hassil.recognize import RecognizeResult

from ..ability import Ability, Answer, LastTurn, Request
from .near_words import NearWords
from .plain_request import clauses_of, plain_requests, runs_of_clauses, without_reasons

logger = logging.getLogger(__name__)

_RULES = {
    "the": "(the|a|an|my|our|any|this|that)",
    "tell": "(tell me|say|read|read out|read me|give me|show me|let me know|let me hear)",
    "set": (
        "(set|set up|start|make|create|begin|add|run|put on|give me|schedule|set me"
        "|i (need|want|would like)|(can|could|may) i (have|get))"
    ),
    "put": "(add|put|write|note|place|stick|get|include|pop|jot|chuck|throw|bung|shove|whack)",
    "cancel": (
        "(cancel|delete|remove|clear|stop|end|drop|get rid of|turn off|switch off|kill|abort)"
    ),
}
_JOIN = "/"
_MOST_FREE_WORDS, _MOST_BARE_WORDS = 5, 3
"""In a slot: more are likely to be a story of which the template knows only the end."""
MOST_CHARACTERS = 300
"""The longest text that is a request to an ability: a longer one is a letter, or an attack."""


@dataclass(frozen=True)
class Understood:
    """What a sentence asks for, and the answer."""

    ability: Ability
    request: Request
    answer: Answer
    whole: bool = True
    """Whether all of the sentence was understood, and not only a part or some words of it."""
    by_template: bool = True
    """Whether it was understood by a template, and not by the ability's own reading."""

    @property
    def closely(self) -> bool:
        """Whether a template accounts for all but a few of the words, and not only for the end."""
        free = {name: len(words.split()) for name, words in self.request.slots.items()}
        return (
            self.whole
            and self.by_template
            and all(count <= _MOST_FREE_WORDS for count in free.values())
            and not (
                self.request.intent.endswith("_bare") and free.get("item", 0) > _MOST_BARE_WORDS
            )
        )


class Understanding:
    """The sentences of some abilities, ready to be looked for."""

    def __init__(self, abilities: Sequence[Ability]) -> None:
        self.abilities = tuple(abilities)
        self._by_name = {ability.name: ability for ability in abilities}
        self._intents = Intents.from_dict(_described(abilities))
        # The first sentence takes a tenth of a second, which nobody is to wait for.
        list(recognize_all("warm up", self._intents))
        self._near = NearWords(
            sentence
            for ability in abilities
            for sentences in ability.sentences.values()
            for sentence in [*sentences, *_RULES.values()]
        )

    def understand(
        self,
        texts: Sequence[str],
        now: datetime,
        last: LastTurn | None = None,
        *,
        hands_over: Collection[str] = (),
    ) -> Understood | None:
        """Return what the first of `texts` that is understood asks for: sentences that may have
        been said, the likeliest first. The client is Home Assistant where abilities are
        named in `hands_over`, and does in their place what it can. None if none is understood."""
        find = partial(self._exactly, now=now, last=last, hands_over=hands_over)
        texts = [text for text in texts if len(text) <= MOST_CHARACTERS]
        if not texts:
            return None
        likeliest = plain_requests(texts[0])
        forms = list(dict.fromkeys(form for text in texts for form in plain_requests(text)))
        runs = runs_of_clauses(texts[0])
        about = self.about(likeliest[-1])
        for text in without_reasons(texts[0]):
            if (found := find(text, whole=likeliest[-1])) is not None:
                return replace(found, whole=False)
        for text in forms:
            if (found := find(text)) is not None:
                return found
        # Of what is less likely, only the whole counts: some part often fits something.
        for text in runs:
            found = find(text, whole=likeliest[-1])
            # What is about something else as a whole is not answered by a part of it.
            if found is not None and about in (None, found.ability):
                return replace(found, whole=False)
        read = (self._by_itself(text, now, hands_over) for text in forms)
        by_itself = next((one for one in read if one is not None), None)
        if by_itself is not None and about in (None, by_itself.ability):
            return replace(by_itself, by_template=False)
        for text in likeliest:
            for near in self._near.sentences(text):
                if (found := find(near)) is not None:
                    logger.debug("%r is understood as %r", text, near)
                    return found
        by_words: Understood | None = None
        clauses = clauses_of(texts[0])
        for text in likeliest:
            request = Request("", {"text": text}, now, last, clauses=clauses)
            by_words = by_words or self._by_keywords(request, hands_over)
        if by_words is not None and about in (None, by_words.ability):
            return replace(by_words, whole=False)
        for text in runs if about is not None else ():
            # Nothing in all of the sentence says the rest, so it is asked for.
            if (found := find(text)) is not None and found.answer.completes:
                return replace(found, whole=False)
        if by_words is not None:
            return replace(by_words, whole=False)
        return replace(by_itself, by_template=False) if by_itself is not None else None

    def about(self, text: str) -> Ability | None:
        """Return the ability that `text` is about, whether or not it is understood; None if it is
        about none."""
        words = plain_requests(text)[-1].split()
        for ability in self.abilities:
            if any(_has(words, about) for about in ability.about):
                return ability
        return None

    def _by_itself(
        self, text: str, now: datetime, hands_over: Collection[str]
    ) -> Understood | None:
        """The answer of an ability without templates."""
        request = Request("", {"text": text}, now)
        for ability in self.abilities if text else ():
            answer = ability.reads(text)
            if answer is not None and answer.if_yes is None and ability.name in hands_over:
                intents = ability.hands_over(request)
                answer = replace(answer, act=None, intents=intents) if intents else answer
            if answer is not None:
                return Understood(ability, request, answer)
        return None

    def _by_keywords(self, asked: Request, hands_over: Collection[str]) -> Understood | None:
        for ability in self.abilities if asked.slots["text"] else ():
            wanted = ability.by_keywords(asked)
            if wanted is not None:
                request = Request(wanted[0], wanted[1], asked.now, asked.last)
                found = _answered(ability, request, hands_over)
                if found is not None:
                    return found
        return None

    def _exactly(
        self,
        text: str,
        *,
        now: datetime,
        last: LastTurn | None,
        hands_over: Collection[str],
        whole: str = "",
    ) -> Understood | None:
        for ability, asked in self._requests(text, now, last):
            request = replace(asked, whole=whole)
            if (found := _answered(ability, request, hands_over)) is not None:
                return found
        return None

    def _requests(
        self, text: str, now: datetime, last: LastTurn | None
    ) -> Iterator[tuple[Ability, Request]]:
        """The ways to read `text`, those with the most words of their template first."""
        if not text:
            return
        found: list[RecognizeResult] = list(recognize_all(text, self._intents))
        found.sort(key=lambda one: -_certain_letters(one, text))
        for one in found:
            name, _, intent = one.intent.name.partition(_JOIN)
            slots = {entity.name: str(entity.value).strip() for entity in one.entities_list}
            yield self._by_name[name], Request(intent, slots, now, last)


def _answered(ability: Ability, request: Request, hands_over: Collection[str]) -> Understood | None:
    intents = ability.hands_over(request) if ability.name in hands_over else ()
    answer = Answer("", intents=intents) if intents else ability.answer(request)
    return Understood(ability, request, answer) if answer is not None else None


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
