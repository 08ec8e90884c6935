"""The grammar of a reply that may call tools: either text, or calls whose names and arguments the
tools' schemas allow."""

import json
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from typing import Any

from llama_cpp.llama_grammar import json_schema_to_gbnf

from ..errors import AttuneError
from .grammar import json_grammar
from .tool_calls import BEGINS, ENDS

logger = logging.getLogger(__name__)

MOST_CALLS = 4
"""The most calls in one reply."""
_MOST_DEPTH, _MOST_PARTS = 30, 2_000
_MOST_CHARACTERS = 300_000
"""Of the grammar of all tools together."""
_MORE = {"additionalProperties", "anyOf", "oneOf", "allOf"}
"""What a schema may say of arguments beside their names."""
_ROOT = re.compile(r"^root ::=", re.MULTILINE)


def tool_grammar(
    tools: Sequence[Mapping[str, Any]], template: str, *, must_call: bool = False
) -> str:
    """Return the grammar, in llama.cpp's notation, of a reply that calls one or more of `tools`,
    functions in OpenAI's form, or is a text, if it need not call. `template` is the chat template,
    from which the model knows how calls are written. Raises AttuneError if there are no tools, or
    too many."""
    if not tools:
        raise AttuneError("there are no tools to call")
    key = "arguments" if BEGINS in template or '"parameters"' not in template else "parameters"
    calls = json_schema_to_gbnf(json.dumps({"oneOf": [_call(tool, key) for tool in tools]}))
    if len(calls) > _MOST_CHARACTERS:
        raise AttuneError("the tools are too many for a grammar; offer fewer")
    one = f'"{BEGINS}" ws call ws "{ENDS}"' if BEGINS in template else "call"
    more = f"( ws {one} ){{0,{MOST_CALLS - 1}}}" if BEGINS in template else ""
    return "\n".join(
        [
            f"root ::= ws {'calls' if must_call else '( calls | said )'}",
            f"calls ::= {one} {more} ws",
            "said ::= ( [^<{[ \\t\\n] [^\\x00]* )?",
            "ws ::= [ \\t\\n]{0,3}",
            _ROOT.sub("call ::=", str(calls)),
        ]
    )


def _call(tool: Mapping[str, Any], key: str) -> dict[str, Any]:
    """The schema of a call of `tool`."""
    function = tool["function"]
    return {
        "type": "object",
        "properties": {
            "name": {"const": function["name"]},
            key: _arguments(function["name"], function.get("parameters") or {}),
        },
        "required": ["name", key],
        "additionalProperties": False,
    }


def _arguments(name: str, schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """The schema of the arguments, on its own feet; that of any object if it cannot be followed."""
    try:
        own = _without_references(schema, schema, _MOST_DEPTH, count(1))
        json_grammar(own)
    except AttuneError as error:
        logger.warning("the arguments of the tool %s may be any object: %s", name, error)
        return {"type": "object"}
    assert isinstance(own, dict)
    if own.get("properties") == {} and not own.keys() & _MORE:
        return {"type": "object", "properties": {}}
    return own if own.get("properties") or own.keys() & _MORE else {"type": "object"}


def _without_references(
    part: Any, whole: Mapping[str, Any], depth: int, parts: Iterator[int]
) -> Any:
    """`part` of the schema `whole` with what it refers to in its place. `parts` counts them."""
    if depth == 0:
        raise AttuneError("it is too deep, or refers to itself")
    if next(parts) > _MOST_PARTS:
        raise AttuneError("it has too many parts, with what it refers to in its place")
    if isinstance(part, list):
        return [_without_references(one, whole, depth - 1, parts) for one in part]
    if not isinstance(part, dict):
        return part
    if isinstance(reference := part.get("$ref"), str):
        return _without_references(_found(reference, whole), whole, depth - 1, parts)
    kept = {key: value for key, value in part.items() if key != "$defs" or part is not whole}
    return {key: _without_references(value, whole, depth - 1, parts) for key, value in kept.items()}


def _found(reference: str, whole: Mapping[str, Any]) -> Any:
    if not reference.startswith("#/"):
        raise AttuneError(f"it refers to {reference[:80]}, which is not in it")
    found: Any = whole
    for step in reference.removeprefix("#/").split("/"):
        if not isinstance(found, dict) or step not in found:
            raise AttuneError(f"it refers to {reference[:80]}, which is not in it")
        found = found[step]
    return found
