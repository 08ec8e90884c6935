"""What an ability answers in a conversation that a client brings whole, where the client leaves it
to Attune how to answer."""

import logging
from collections.abc import Sequence
from dataclasses import replace

from engines.chat import ChatMessage
from engines.errors import AttuneError

from ..abilities.abilities import Abilities, Found
from ..abilities.ability import Answer, LastTurn
from ..conversation.dialogue import answer_to_question

logger = logging.getLogger(__name__)


def by_ability(
    abilities: Abilities | None, messages: Sequence[ChatMessage], *, refuses: bool
) -> str | None:
    """Do what the last of `messages` asks of an ability, and return what is said; None if no
    ability understands it. If it `refuses`, a question for which the language model is too weak is
    refused, as in a spoken conversation. Texts of several lines, with which programs ask for titles
    and the like, are nobody's requests."""
    if abilities is None or not messages or messages[-1].role != "user":
        return None
    text = messages[-1].content.strip()
    if not text or "\n" in text:
        return None
    try:
        found = _found(abilities, text, messages[:-1])
        if found is None:
            return abilities.instead(text) if refuses else None
        answer = found.answer
        return (answer.act() if answer.act is not None else None) or answer.reply
    except AttuneError as error:
        logger.error("an ability failed")
        logger.debug("an ability failed: %s", error)
        return f"That did not work: {error}"


def _found(abilities: Abilities, text: str, before: Sequence[ChatMessage]) -> Found | None:
    """The answer to `text`, which follows on the messages `before`. A question that an ability
    asked is found again by asking the ability again, for nothing is kept of a client's chat."""
    last, completes = None, ""
    if [one.role for one in before[-2:]] == ["user", "assistant"]:
        request, reply = (one.content.strip() for one in before[-2:])
        last = LastTurn(request, reply, lambda: None)
        asked = abilities.answer([request]) if reply.endswith("?") else None
        if asked is not None and asked.answer.reply == reply:
            completes = asked.answer.completes
            said = answer_to_question(text) if asked.answer.if_yes is not None else None
            if said == "yes" and asked.answer.if_yes is not None:
                return replace(asked, answer=asked.answer.if_yes)
            if said == "no":
                return replace(asked, answer=Answer("Then I leave it."))
    return abilities.answer([text], last, completes)
