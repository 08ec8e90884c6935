"""A language model that calls tools by simple rules, and tools that note their calls."""

import json
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from daemon.tools.tool import Call, Tool
from engines.chat import ChatMessage, Completion, Sampling
from engines.errors import AttuneError, TurnAbandoned
from engines.interfaces import Step, unwatched
from tests.support.fakes import EchoClientChat, EchoLanguageModel


class CallingLanguageModel(EchoLanguageModel):
    """Calls each tool whose name, in words, is in the last message, with the words after it;
    without tools it says what it was told last."""

    def __init__(self) -> None:
        super().__init__()
        self.reads: list[str] = []
        """The texts of every conversation with tools."""
        self.choose: Callable[[str], list[tuple[str, dict[str, Any]]]] | None = None
        """In place of that rule, from everything that is read."""
        self.knows_tools = True
        self.tells: str | None = "It says: {}"
        """Its words for what it was told last; None if its chat is in use."""

    @property
    def client_chat(self) -> "CallingChat":
        return CallingChat(self)


class CallingChat(EchoClientChat):
    def __init__(self, model: CallingLanguageModel) -> None:
        super().__init__(model)
        self._calling = model

    @property
    def knows_tools(self) -> bool:  # type: ignore[override]
        return self._calling.knows_tools

    def complete(
        self,
        messages: Sequence[ChatMessage],
        sampling: Sampling,
        tools: Sequence[Mapping[str, Any]] = (),
        step: Step = unwatched,
        told: Completion | None = None,
        *,
        must_call: bool = False,
    ) -> Generator[str, None, None]:
        step()
        last = messages[-1].content
        if not tools:
            if self._calling.tells is None:
                raise RuntimeError("another conversation is being continued")
            yield from self._calling.tells.format(last).splitlines(keepends=True)
            return
        self._calling.reads.append("\n".join(one.content for one in messages))
        if self._calling.choose is not None:
            calls = self._calling.choose(self._calling.reads[-1])
        else:
            names = [str(tool["function"]["name"]) for tool in tools]
            calls = [
                (name, {"what": last.partition(name.replace("_", " "))[2].strip(" .")})
                for name in names
                if name.replace("_", " ") in last
            ]
        yield from (
            f"<tool_call>\n{json.dumps({'name': name, 'arguments': given})}\n</tool_call>\n"
            for name, given in calls
        )
        if not calls:
            yield "No tool."


def tool(name: str, *, asks_first: bool = True) -> Tool:
    schema = {"type": "object", "properties": {"what": {"type": "string"}}}
    return Tool("kitchen", name, f"It can {name}.", schema, asks_first=asks_first)


@dataclass
class NotedTools:
    """Tools that answer with `answers`."""

    tools: list[Tool] = field(
        default_factory=lambda: [tool("look up", asks_first=False), tool("delete")]
    )
    answers: str = "all is well"
    fails: str = ""
    fails_at: int = 0
    """The number of the call that fails; 0 if none does."""
    leaves: bool = False
    """Whether the turn is left while a tool works."""
    then: Callable[[], None] = lambda: None
    """What happens while a tool works."""
    called: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def call(self, call: Call, step: Step = unwatched) -> str:
        step()
        self.called.append((call.tool.name, dict(call.arguments)))
        self.then()
        if self.leaves:
            raise TurnAbandoned
        if self.fails or len(self.called) == self.fails_at:
            raise AttuneError(self.fails or "it broke")
        return self.answers
