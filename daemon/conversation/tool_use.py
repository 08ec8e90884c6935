"""Lets the language model call tools in a turn: the calls are chosen from the user's own words
alone, asked about where they change something, made once the turn is kept, and told.

What a tool answers is read by the language model when it words the reply, and never when it chooses
calls: a result that gives orders has nobody to give them to.
"""

import logging
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from typing import Protocol

from engines.chat import ChatMessage, Sampling
from engines.errors import AttuneError, TurnAbandoned
from engines.interfaces import Step, unwatched
from engines.llm.tool_calls import may_be_call

from ..abilities.abilities import Found
from ..abilities.ability import Answer
from ..abilities.sentences.reported import is_reported
from ..events.turns import ToolCalled, TurnEvent
from ..serving.lease import ModelLease
from ..tools.choosing import Exchange, choose, written
from ..tools.tool import Call, Tool
from .turn_log import QueuedTurn

logger = logging.getLogger(__name__)

NAME = "tools"
_NO_CHAT = (AttuneError, RuntimeError)
"""What the chat raises: RuntimeError while the reply to a client of HTTP stands still in it."""
_REMEMBERED = 3


class Tools(Protocol):
    """The tools that the language model may call."""

    @property
    def tools(self) -> list[Tool]:
        """Those that it may call now."""

    def call(self, call: Call, step: Step = unwatched) -> str:
        """Call one and return what it answers. Raises AttuneError, in a sentence that can be
        said, if that fails."""


@dataclass(frozen=True)
class _Now:
    turn: QueuedTurn
    models: ModelLease


class ToolUse:
    """The calls of one turn after another."""

    def __init__(
        self,
        tools: Tools | None,
        publish: Callable[[QueuedTurn, TurnEvent], None],
        go_on: Callable[[QueuedTurn], None],
        system_prompt: str,
        max_reply_tokens: int,
        interrupted: Callable[[], bool],
    ) -> None:
        """`go_on` raises TurnAbandoned if a turn is to end. `interrupted` says whether the user
        wants no more of the current reply."""
        self._tools = tools
        self._publish = publish
        self._go_on = go_on
        self._system_prompt = system_prompt
        self._max_reply_tokens = max_reply_tokens
        self._interrupted = interrupted
        self._earlier: list[tuple[int, Exchange]] = []
        """The last requests of this conversation, each with the number of its turn."""
        self._request: Exchange | None = None
        """That of this turn, if it counts for the next ones."""
        self._now: _Now | None = None

    def begin(
        self, turn: QueuedTurn, models: ModelLease, earlier: list[tuple[int, Exchange]]
    ) -> None:
        """Let calls belong to `turn` from now on, and be told by `models`. `earlier` are the last
        requests of its conversation, each with the number of its turn; this turn's is added."""
        self._earlier = earlier
        self._now = _Now(turn, models)
        self._request = None

    def end(self, number: int) -> None:
        """Remember the request of this turn, which is turn `number`, for the next ones."""
        if self._request is not None:
            self._earlier.append((number, self._request))
            del self._earlier[:-_REMEMBERED]

    def forget_turn(self, number: int) -> None:
        """Forget the request of a turn."""
        self._earlier[:] = [one for one in self._earlier if one[0] != number]

    def find(self, words: str, facts: str) -> Found | None:
        """Return what answers `words` by calls of tools; None if the language model wants to answer
        by itself, or has no tools."""
        tools = self._tools.tools if self._tools is not None else []
        if self._now is None or not tools:
            return None
        try:
            chat = self._now.models.language_model.client_chat
            earlier = [exchange for _, exchange in self._earlier]
            calls = choose(chat, tools, words, earlier, facts, self._step)
        except _NO_CHAT as error:
            logger.error("no tool could be chosen: %s", error)
            return None
        if not calls:
            self._request = Exchange(words)
            return None
        act = Answer("", lambda: self._made(words, calls))
        if any(call.tool.asks_first for call in calls) or is_reported(words):
            asked = ", and ".join(call.for_people for call in calls)
            return Found(NAME, Answer(f"Shall I do this: {asked}?", if_yes=act))
        return Found(NAME, act)

    def _step(self) -> None:
        if self._now is not None:
            self._go_on(self._now.turn)

    def _step_on(self) -> None:
        """As `_step`, once a call was made: that the speech goes on does not take it back."""
        assert self._now is not None
        try:
            self._step()
        except TurnAbandoned:
            if not self._now.turn.taken_back:
                raise

    def _made(self, words: str, calls: tuple[Call, ...]) -> str:
        """Make the calls, and return what is said of them."""
        assert self._tools is not None
        assert self._now is not None
        turn = self._now.turn
        results = []
        for call in calls:
            tool = call.tool
            logger.info("the tool %s of %s is called", tool.name, tool.server)
            self._publish(
                turn,
                ToolCalled(
                    turn=turn.told_number,
                    source=turn.source,
                    server=tool.server,
                    tool=tool.name,
                    arguments=dict(call.arguments),
                ),
            )
            try:
                results.append(self._tools.call(call, self._step_on))
            except AttuneError as error:
                if len(calls) == 1:
                    raise
                results.append(f"That did not work: {error}")
        self._request = Exchange(words, calls)
        return self._told(words, calls, results)

    def _told(self, words: str, calls: tuple[Call, ...], results: list[str]) -> str:
        """The language model's words for `results`; these themselves if it finds none."""
        assert self._now is not None
        messages = [
            ChatMessage("system", self._system_prompt),
            ChatMessage("user", words),
            written(calls),
            *(ChatMessage("tool", result or "Done.") for result in results),
        ]
        said = ""
        try:
            chat = self._now.models.language_model.client_chat
            sampling = Sampling(max_tokens=self._max_reply_tokens)
            with closing(chat.complete(messages, sampling, (), self._step_on)) as pieces:
                for piece in pieces:
                    said += piece
                    if self._interrupted():
                        break
            said = said.strip()
        except _NO_CHAT as error:
            logger.warning("the language model has no words for a tool's answer: %s", error)
        if said and not may_be_call(said):
            return said
        return " ".join(result for result in results if result) or "That is done."
