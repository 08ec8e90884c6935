"""Calls of tools are found in what a model writes, and nothing else is taken for one."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.llm.tool_calls import as_text, find_calls, may_be_call

CALL = '{"name": "turn_on", "arguments": {"name": "kitchen light"}}'


@pytest.mark.parametrize(
    "text",
    [
        f"<tool_call>\n{CALL}\n</tool_call>",
        f"<tool_call>{CALL}",
        CALL,
        f"[{CALL}]",
        f"I will. {CALL}",
        CALL.replace("arguments", "parameters"),
    ],
)
def test_a_call_is_found(text: str) -> None:
    [found] = find_calls(text)
    assert (found.name, json.loads(found.arguments)) == ("turn_on", {"name": "kitchen light"})


def test_several_calls_are_found_in_their_order() -> None:
    two = f"<tool_call>\n{CALL}\n</tool_call>\n<tool_call>\n{CALL.replace('on', 'off')}</tool_call>"
    assert [one.name for one in find_calls(two)] == ["turn_on", "turn_off"]


@pytest.mark.parametrize(
    "text",
    ["", "The light is on.", '{"name": 5}', '{"name": "x", "arguments": [1]}', '{"name": "turn_on"',
     "{" * 3000],
)  # fmt: skip
def test_anything_else_is_none(text: str) -> None:
    assert find_calls(text) == []


@given(st.text())
def test_any_text_is_survived(text: str) -> None:
    find_calls(text)


@given(st.text(min_size=1), st.dictionaries(st.text(), st.text() | st.integers() | st.none()))
def test_what_was_written_is_read_again(name: str, arguments: dict[str, object]) -> None:
    [found] = find_calls(as_text(name, json.dumps(arguments)))
    assert (found.name, json.loads(found.arguments)) == (name, arguments)


def test_a_reply_is_held_back_only_as_long_as_it_may_be_a_call() -> None:
    written = f"\n<tool_call>\n{CALL}"
    assert all(may_be_call(written[:end]) for end in range(len(written)))
    assert not may_be_call("The light")
    assert not may_be_call("<b>")
