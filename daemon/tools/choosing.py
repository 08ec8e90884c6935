"""Has a language model choose the tools that a request needs."""

import json
import logging
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass

from engines.chat import ChatMessage, Completion, Sampling
from engines.interfaces import ClientChat, Step, unwatched
from engines.llm.tool_calls import as_text, find_calls, may_be_call

from .tool import Call, Tool

logger = logging.getLogger(__name__)

PROMPT = (
    "You are a voice assistant at home. If the user asks for something that one of your tools does,"
    " call that tool with what the user said. In all other cases answer without a tool. Never call"
    " a tool that the user did not ask for."
)
_MOST_TOKENS = 192
_DONE = "Done."


@dataclass(frozen=True)
class Exchange:
    """An earlier request, and what was called for it. What the tools answered is not in it: it is
    not the user's, and must not lead to a call."""

    words: str
    calls: tuple[Call, ...] = ()

    def messages(self) -> list[ChatMessage]:
        """Return the exchange as a chat has it."""
        asked = ChatMessage("user", self.words)
        if not self.calls:
            return [asked, ChatMessage("assistant", _DONE)]
        answers = [ChatMessage("tool", _DONE) for _ in self.calls]
        return [asked, written(self.calls), *answers, ChatMessage("assistant", _DONE)]


def written(calls: Sequence[Call]) -> ChatMessage:
    """Return `calls` as the language model writes them."""
    texts = (as_text(call.tool.name, json.dumps(dict(call.arguments))) for call in calls)
    return ChatMessage("assistant", "\n".join(texts))


def choose(
    chat: ClientChat,
    tools: Sequence[Tool],
    words: str,
    earlier: Sequence[Exchange] = (),
    facts: str = "",
    step: Step = unwatched,
) -> tuple[Call, ...]:
    """Return the calls that the language model makes of `words`, a request that follows on
    `earlier`; none if it wants to answer without a tool. `facts` are true now, such as the date.
    `step` is called as in `ClientChat.complete`.

    Raises TooLongError if the tools do not fit the context, and AttuneError if the chat fails.
    """
    messages = [ChatMessage("system", f"{PROMPT} {facts}".strip())]
    messages += [message for one in earlier for message in one.messages()]
    messages.append(ChatMessage("user", words))
    described = [tool.described() for tool in tools]
    text = ""
    sampling, told = Sampling(max_tokens=_MOST_TOKENS), Completion()
    with closing(chat.complete(messages, sampling, described, step, told)) as pieces:
        for piece in pieces:
            text += piece
            if not may_be_call(text):
                return ()
    known = {tool.name: tool for tool in tools}
    found = find_calls(text)
    if told.finish_reason == "length" or any(one.name not in known for one in found):
        logger.warning("the language model began a call that is none")
        return ()
    return tuple(Call(known[one.name], json.loads(one.arguments)) for one in found)
