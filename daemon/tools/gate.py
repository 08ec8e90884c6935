"""Whether a language model chooses tools well enough to be given any: it is tried on a hundred
requests, of which twenty need no tool."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from engines.interfaces import ClientChat, Step, unwatched

from .choosing import choose
from .tool import Call, Tool

LEAST_RIGHT_OF_100 = 95
_CASES = Path(__file__).with_name("gate_cases.json")
_LEFT_OUT = {"the", "a", "an", "some", "my"}


@dataclass(frozen=True)
class Case:
    """A request, and what has to be called for it."""

    words: str
    tool: str | None
    """None if no tool is to be called."""
    arguments: Mapping[str, Sequence[str]]
    """What may be given for arguments, for those that the request leaves no doubt of."""


@cache
def cases() -> tuple[tuple[Tool, ...], tuple[Case, ...]]:
    """Return the tools and the requests that language models are tried on. A language model wrote
    them, without seeing this code."""
    given = json.loads(_CASES.read_text(encoding="utf-8"))
    tools = tuple(
        Tool("", function["name"], function["description"], function["parameters"])
        for function in (one["function"] for one in given["tools"])
    )
    return tools, tuple(
        Case(one["words"], one["tool"], one.get("arguments", {})) for one in given["requests"]
    )


def is_right(calls: Sequence[Call], case: Case) -> bool:
    """Return whether `calls` are what `case` needs: one call of its tool with its arguments, or
    none."""
    if case.tool is None:
        return not calls
    if len(calls) != 1 or calls[0].tool.name != case.tool:
        return False
    given = calls[0].arguments
    return all(_plain(given.get(name, "")) in accepted for name, accepted in case.arguments.items())


def chooses_rightly(chat: ClientChat, case: Case, step: Step = unwatched) -> bool:
    """Return whether the language model does what `case` needs. `step` is called as in
    `ClientChat.complete`. Raises AttuneError if the chat fails."""
    tools, _ = cases()
    return is_right(choose(chat, tools, case.words, step=step), case)


def _plain(value: Any) -> str:
    """A value as the cases have it: small letters and digits, without articles at its beginning."""
    words = re.sub(r"[^a-z0-9: ]+", " ", str(value).lower().replace("'", "")).split()
    while words and words[0] in _LEFT_OUT:
        words = words[1:]
    return " ".join(words)
