"""A reply that may call tools is a text, or calls that the tools' schemas allow, and no more."""

import json
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import numpy as np
import pytest
from hypothesis import given as drawn
from hypothesis import settings
from hypothesis import strategies as st

from engines.chat import ChatMessage, Completion, Sampling
from engines.errors import AttuneError
from engines.llm.chat_model import LlamaCppLanguageModel
from engines.llm.grammar import Grammar
from engines.llm.tool_calls import find_calls, may_be_call
from engines.llm.tool_grammar import MOST_CALLS, tool_grammar
from engines.llm.vocabulary import Vocabulary
from tests.support.llama_conversations import SYSTEM
from tests.support.tiny_llama import CHATML, END, write_tiny_llama

QWEN = CHATML + "{% if tools %}{{ tools | tojson }} <tool_call>{% endif %}"
LLAMA = CHATML + '{% if tools %}{{ tools | tojson }} "parameters"{% endif %}'
NAMELESS = CHATML + "{% if tools %}{{ tools | tojson }}{% endif %}"


def tool(name: str, **schema: Any) -> dict[str, Any]:
    parameters = {"type": "object", "additionalProperties": False, **schema}
    return {"type": "function", "function": {"name": name, "parameters": parameters}}


LIGHT = tool(
    "light",
    properties={"room": {"type": "string"}, "to": {"enum": ["on", "off"]}},
    required=["room", "to"],
)
PING = tool("ping", properties={})


@pytest.fixture(scope="module")
def vocabulary(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vocabulary]:
    path = write_tiny_llama(tmp_path_factory.mktemp("grammar") / "m.gguf", template=QWEN)
    opened = Vocabulary(path)
    yield opened
    opened.close()


def fits(vocabulary: Vocabulary, grammar: str, text: str) -> bool:
    """Whether `text`, a character a token, is all of a reply."""
    with closing(Grammar(vocabulary, grammar)) as way:
        for token in vocabulary.tokenize(text) + vocabulary.tokenize(END, special=True):
            logits = np.full(vocabulary.size, -1.0, np.float32)
            logits[token] = 1.0
            try:
                if way.kept_to(logits, token) is not logits:
                    return False
            except AttuneError:
                return False
            if not vocabulary.ends_reply(token):
                way.accept(token)
        return True


def call(name: str, key: str = "arguments", **arguments: object) -> str:
    return json.dumps({"name": name, key: arguments})


def marked(*calls: str) -> str:
    return "\n".join(f"<tool_call>\n{one}\n</tool_call>" for one in calls)


GOOD = call("light", room="kitchen", to="on")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (marked(GOOD), True),
        (marked(GOOD, call("ping")), True),
        (marked(*[GOOD] * MOST_CALLS), True),
        (marked(*[GOOD] * (MOST_CALLS + 1)), False),
        ("The light is on.", True),
        ("\nNo.", True),
        (GOOD, False),  # without the marks that this model knows
        (marked(call("oven")), False),
        (marked(call("light", room="kitchen", to="dim")), False),
        (marked(call("light", room="kitchen")), False),
        (marked(call("light", room=3, to="on")), False),
        (marked(call("light", room="a", to="on", more=1)), False),
        (marked(call("ping", room="a")), False),
        (marked(GOOD) + " and more", False),
        (marked(GOOD)[:-5], False),
        ("<b>", False),
        (f"[{GOOD}]", False),
        ("[1] is a number", False),
    ],
)  # fmt: skip
def test_text_and_allowed_calls_fit(vocabulary: Vocabulary, text: str, expected: bool) -> None:
    assert fits(vocabulary, tool_grammar([LIGHT, PING], QWEN), text) is expected


def test_a_reply_that_must_call_is_no_text(vocabulary: Vocabulary) -> None:
    grammar = tool_grammar([LIGHT], QWEN, must_call=True)
    assert fits(vocabulary, grammar, marked(GOOD))
    assert not fits(vocabulary, grammar, "The light is on.")
    assert not fits(vocabulary, grammar, "")


@pytest.mark.parametrize(("template", "key"), [(LLAMA, "parameters"), (NAMELESS, "arguments")])
def test_a_call_is_written_as_the_template_has_it(
    vocabulary: Vocabulary, template: str, key: str
) -> None:
    grammar = tool_grammar([LIGHT], template)
    assert fits(vocabulary, grammar, call("light", key, room="a", to="off"))
    other = {"parameters": "arguments", "arguments": "parameters"}[key]
    assert not fits(vocabulary, grammar, call("light", other, room="a", to="off"))
    assert not fits(vocabulary, grammar, marked(call("light", key, room="a", to="off")))


def test_a_schema_that_refers_to_its_own_parts_is_followed(vocabulary: Vocabulary) -> None:
    heat = tool(
        "heat",
        properties={"level": {"$ref": "#/$defs/Level"}},
        required=["level"],
        **{"$defs": {"Level": {"enum": ["low", "high"]}}},
    )
    grammar = tool_grammar([PING, heat], QWEN)
    assert fits(vocabulary, grammar, marked(call("heat", level="low")))
    assert not fits(vocabulary, grammar, marked(call("heat", level="hot")))


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": {"a": {"$ref": "https://example.org/a.json"}}, "required": ["a"]},
        {"properties": {"a": {"$ref": "#/$defs/A"}}, "required": ["a"]},
        {
            "properties": {"a": {"$ref": "#/$defs/A"}},
            "$defs": {"A": {"properties": {"a": {"$ref": "#/$defs/A"}}}},
        },
        {"properties": {"a": {"type": "string", "maxLength": 10**6}}, "required": ["a"]},
        {"properties": {"a": {"type": "teapot"}}, "required": ["a"]},
        {
            "properties": {"a": {"$ref": "#/$defs/L0"}},
            "required": ["a"],
            "$defs": {
                f"L{level}": {"anyOf": [{"$ref": f"#/$defs/L{level + 1}"}] * 8}
                for level in range(8)
            }
            | {"L8": {"type": "string"}},
        },
    ],
)
def test_arguments_of_a_schema_that_cannot_be_followed_are_any_object(
    vocabulary: Vocabulary, schema: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    grammar = tool_grammar([tool("odd", **schema), LIGHT], QWEN)
    assert fits(vocabulary, grammar, marked(call("odd", a={"b": 1})))
    assert fits(vocabulary, grammar, marked(GOOD))
    assert not fits(vocabulary, grammar, marked(call("light", room="a")))
    assert "odd" in caplog.text


@pytest.mark.parametrize(
    ("parameters", "given"),
    [
        ({}, {"a": 1}),
        ({"type": "object"}, {"a": 1}),
        ({"type": "object", "additionalProperties": {"type": "string"}}, {"a": "b"}),
        (
            {
                "anyOf": [
                    {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
                ]
            },
            {"a": "b"},
        ),
        (
            {"type": "object", "properties": {"$defs": {"type": "string"}}, "required": ["$defs"]},
            {"$defs": "b"},
        ),
    ],
)
def test_a_schema_need_not_name_its_arguments(
    vocabulary: Vocabulary, parameters: dict[str, Any], given: dict[str, Any]
) -> None:
    described = {"type": "function", "function": {"name": "open", "parameters": parameters}}
    assert fits(vocabulary, tool_grammar([described], QWEN), marked(call("open", **given)))


def test_too_many_tools_are_refused() -> None:
    many = [
        tool(f"t{number}", properties={f"p{place}": {"type": "string"} for place in range(60)})
        for number in range(128)
    ]
    with pytest.raises(AttuneError, match="offer fewer"):
        tool_grammar(many, QWEN)


def test_without_tools_there_is_nothing_to_call() -> None:
    with pytest.raises(AttuneError, match="no tools"):
        tool_grammar([], QWEN)


@pytest.fixture(scope="module")
def babbling(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LlamaCppLanguageModel]:
    """A real model of random weights."""
    path = write_tiny_llama(tmp_path_factory.mktemp("babbling") / "m.gguf", template=QWEN)
    vocabulary = Vocabulary(path)
    model = LlamaCppLanguageModel(path, vocabulary, SYSTEM, 4096, threads=1)
    yield model
    model.close()
    vocabulary.close()


@settings(max_examples=20)
@drawn(seed=st.integers(0, 10**6), must_call=st.booleans())
def test_whatever_a_model_wants_to_write_a_call_is_allowed(
    babbling: LlamaCppLanguageModel, seed: int, must_call: bool
) -> None:
    told = Completion()
    pieces = babbling.client_chat.complete(
        [ChatMessage("user", "light")],
        Sampling(max_tokens=400, temperature=1.0, seed=seed),
        [LIGHT, PING],
        told=told,
        must_call=must_call,
    )
    text = "".join(pieces)
    calls = find_calls(text) if may_be_call(text) else []
    for one in calls:
        arguments = json.loads(one.arguments)
        if one.name == "ping":
            assert arguments == {}
        else:
            assert one.name == "light"
            assert arguments["to"] in ("on", "off")
    if must_call and told.finish_reason == "stop" and "</tool_call>" in text:
        assert calls
    if told.finish_reason == "stop" and not calls:
        assert not must_call or "</tool_call>" not in text
