"""Finds the calls of tools in what a language model writes: between `<tool_call>` and
`</tool_call>`, as JSON with a name and arguments. Pure."""

import json
from dataclasses import dataclass

BEGINS, ENDS = "<tool_call>", "</tool_call>"
_WAYS = (BEGINS, '{"name"', '[{"name"')
"""How a reply begins that is a call; small models leave the marks out."""


@dataclass(frozen=True)
class CalledTool:
    """One call."""

    name: str
    arguments: str
    """The arguments as a JSON object."""


def may_be_call(text: str) -> bool:
    """Whether a reply that begins with `text` may be a call."""
    begun = text.lstrip()
    return any(begun.startswith(way) or way.startswith(begun) for way in _WAYS)


def as_text(name: str, arguments: str) -> str:
    """A call as the model writes it, for a conversation that has one already."""
    try:
        given = json.loads(arguments)
    except ValueError:
        given = {}
    return f"{BEGINS}\n{json.dumps({'name': name, 'arguments': given})}\n{ENDS}"


def find_calls(text: str) -> list[CalledTool]:
    """The calls in a reply; none where it has no valid one."""
    found = []
    decoder = json.JSONDecoder(strict=False)  # a model may break a line within a text
    place = 0
    while (place := text.find("{", place)) >= 0:
        try:
            call, place = decoder.raw_decode(text, place)
        except (ValueError, RecursionError):
            place += 1
            continue
        if isinstance(call, dict) and isinstance(call.get("name"), str):
            arguments = call.get("arguments", call.get("parameters", {}))
            if isinstance(arguments, dict):
                found.append(CalledTool(call["name"], json.dumps(arguments)))
    return found
