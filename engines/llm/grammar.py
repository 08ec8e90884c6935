"""Keeps a reply to a grammar: tells which tokens may come next. Knows no model, but its
vocabulary."""

import ctypes
import json
import re
from collections.abc import Mapping
from typing import Any

import llama_cpp.llama_cpp as llama
import numpy as np
from llama_cpp.llama_grammar import JSON_GBNF, json_schema_to_gbnf
from numpy.typing import NDArray

from ..errors import AttuneError
from ..types import Float32
from .vocabulary import Vocabulary

MOST_SCHEMA_CHARACTERS = 20_000
MOST_REPEATS = 500
"""The largest number of repeats that a schema may ask for: llama.cpp's stack overflows at some
thousands."""
_MOST_GRAMMAR_CHARACTERS = 30_000
_MOST_DEPTH = 30
_COUNTS = ("minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties")
_CANDIDATE = np.dtype([("id", "<i4"), ("logit", "<f4"), ("p", "<f4")])
"""llama.cpp's `llama_token_data`."""


def json_grammar(schema: Mapping[str, Any] | None) -> str:
    """The grammar, in llama.cpp's notation, of JSON by `schema`, or of any JSON object. Raises
    AttuneError where the schema is too large, or none that can be followed."""
    if not schema:
        return str(JSON_GBNF)
    text = json.dumps(schema)
    if len(text) > MOST_SCHEMA_CHARACTERS:
        raise AttuneError(f"a schema has at most {MOST_SCHEMA_CHARACTERS} characters")
    _check(schema, _MOST_DEPTH)
    try:
        grammar = str(json_schema_to_gbnf(text))
    except Exception as error:
        raise AttuneError(f"the schema cannot be followed: {error!r}"[:300]) from error
    if len(grammar) > _MOST_GRAMMAR_CHARACTERS:
        raise AttuneError("the schema makes too large a grammar; use a simpler one")
    return grammar


def _check(schema: object, depth: int) -> None:
    """Raise AttuneError where a schema is too deep, or repeats something too often."""
    if depth == 0:
        raise AttuneError(f"a schema is at most {_MOST_DEPTH} levels deep")
    if isinstance(schema, list):
        for one in schema:
            _check(one, depth - 1)
    if not isinstance(schema, dict):
        return
    for name, value in schema.items():
        repeats = [value] if name in _COUNTS and isinstance(value, int | float) else []
        if name == "pattern" and isinstance(value, str):
            repeats = [int(one) for one in re.findall(r"\d+", value)]
        if any(not 0 <= one <= MOST_REPEATS for one in repeats):
            raise AttuneError(f"a schema repeats nothing more than {MOST_REPEATS} times")
        _check(value, depth - 1)


class Grammar:
    """One reply's way through a grammar."""

    def __init__(self, vocabulary: Vocabulary, text: str) -> None:
        """Begin at the grammar's root. Raises AttuneError where llama.cpp does not take `text`."""
        self._size = vocabulary.size
        self._sampler: Any = llama.llama_sampler_init_grammar(
            vocabulary.pointer, text.encode(), b"root"
        )
        if not self._sampler:
            raise AttuneError("the schema cannot be followed: llama.cpp does not take its grammar")

    def kept_to(self, logits: Float32, token: int) -> Float32:
        """`logits` as they are if `token` may come next; otherwise a copy in which no token has a
        chance that may not."""
        if self._may_come(np.array([token]))[0]:
            return logits
        may_come = self._may_come(np.arange(self._size))
        if not may_come.any():
            raise AttuneError("the reply cannot go on by its schema; use a simpler one")
        return np.where(may_come, logits, np.float32(-np.inf))

    def accept(self, token: int) -> None:
        """Go on with `token`, which may come next."""
        llama.llama_sampler_accept(self._sampler, token)

    def close(self) -> None:
        """Free the grammar. Further calls do nothing."""
        if self._sampler:
            llama.llama_sampler_free(self._sampler)
            self._sampler = None

    def _may_come(self, tokens: NDArray[Any]) -> NDArray[np.bool_]:
        candidates = np.zeros(len(tokens), _CANDIDATE)
        candidates["id"] = tokens
        pointer = candidates.ctypes.data_as(ctypes.POINTER(llama.llama_token_data))
        given = llama.llama_token_data_array(pointer, len(tokens), -1, False)
        llama.llama_sampler_apply(self._sampler, ctypes.byref(given))
        return np.asarray(np.isfinite(candidates["logit"]), np.bool_)
