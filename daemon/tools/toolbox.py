"""Says which tools the language model in use may call, and tries it on them while nobody talks."""

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from engines.errors import AttuneError, TurnAbandoned
from engines.interfaces import Step, unwatched

from ..attention import Attention
from ..serving.lease import ModelLender
from .gate import cases, chooses_rightly
from .gate_results import GateResult, GateResults
from .servers import McpServers
from .tool import Call, Tool

logger = logging.getLogger(__name__)


class Toolbox:
    """The tools of a daemon. Safe to use from several threads."""

    def __init__(
        self,
        servers: McpServers | None,
        results: GateResults,
        wanted: bool | Literal["auto"],
        lender: ModelLender,
        model: Callable[[], Path],
        attention: Attention,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """`wanted` is the setting `tools.use`. `model` returns the file of the language model that
        replies."""
        self.servers = servers
        self._results = results
        self._wanted = wanted
        self._lender = lender
        self._model = model
        self._attention = attention
        self._wall = wall
        self._known: tuple[Path, GateResult | None] | None = None
        self._right: tuple[Path, list[bool]] | None = None
        """What a trial that was interrupted has found."""
        self._stopping = threading.Event()

    @property
    def result(self) -> GateResult | None:
        """How well the language model chooses; None if it was not tried yet."""
        model = self._model()
        if self._known is None or self._known[0] != model or self._known[1] is None:
            self._known = model, self._results.of(model)
        return self._known[1]

    @property
    def may_call(self) -> bool:
        """Whether the language model may be given tools at all, also those of clients."""
        if self._wanted != "auto":
            return self._wanted
        return self.result is not None and self.result.passed

    @property
    def tools(self) -> list[Tool]:
        """The tools that the language model may call now."""
        return self.servers.allowed if self.servers is not None and self.may_call else []

    @property
    def for_people(self) -> str:
        """What may be called and why, in words; empty if there are no servers."""
        if self.servers is None:
            return ""
        allowed = len(self.servers.allowed)
        if self._wanted != "auto":
            why = f"tools.use is {str(self._wanted).lower()}"
        elif self.result is None:
            why = "the language model is tried out once nobody talks"
        else:
            why = self.result.for_people
        return f"{allowed if self.may_call else f'none of {allowed}'} may be called: {why}"

    @property
    def problem(self) -> str:
        """Why servers cannot be reached; empty if all can."""
        found = self.servers.problems if self.servers is not None else {}
        return "; ".join(f"the MCP server {name}: {problem}" for name, problem in found.items())

    def call(self, call: Call, step: Step = unwatched) -> str:
        """As `McpServers.call`."""
        if self.servers is None:
            raise AttuneError("There are no tools.")
        return self.servers.call(call, step)

    def try_out(self) -> None:
        """Try the language model on a hundred requests, if it was not tried yet, and keep the
        result. Ends early, and goes on at the next call, once somebody needs the machine. Raises
        AttuneError if the models fail, or the result cannot be kept."""
        if self._wanted != "auto" or self.result is not None or self._lender.resting:
            return
        model = self._model()
        if self._right is None or self._right[0] != model:
            self._right = model, []
        right, knows_tools = self._right[1], True
        try:
            for case in cases()[1][len(right) :]:
                self._go_on()
                with self._lender.lease(wake=False) as models:
                    if self._model() != model:
                        return
                    chat = models.language_model.client_chat
                    if not chat.knows_tools:
                        knows_tools = False
                        break
                    right.append(chooses_rightly(chat, case, self._go_on))
        except TurnAbandoned:
            return
        self._right = None
        found = self._results.keep(
            model, knows_tools=knows_tools, right=sum(right), of=len(right), at=self._wall()
        )
        self._known = model, found
        logger.info("the language model and tools: %s", found.for_people)

    def stop(self) -> None:
        """End a trial after its current step, for good."""
        self._stopping.set()

    def _go_on(self) -> None:
        if self._attention.needed or self._stopping.is_set():
            raise TurnAbandoned
