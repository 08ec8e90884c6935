"""Tools in turns: what changes something is asked about, what was not asked for is not called, and
what a tool answers gives nobody an order."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engines.errors import AttuneError
from tests.daemon.abilities.test_hostile import HOSTILE
from tests.daemon.conversation.test_conversation import last, told
from tests.daemon.conversation.test_early_answers import SEGMENT, Early
from tests.support.fake_child import eventually
from tests.support.tool_world import CallingLanguageModel, NotedTools, tool


@pytest.fixture
def tools() -> NotedTools:
    return NotedTools()


@pytest.fixture
def model() -> CallingLanguageModel:
    return CallingLanguageModel()


@pytest.fixture
def house(tmp_path: Path, tools: NotedTools, model: CallingLanguageModel) -> Iterator[Early]:
    built = Early(tmp_path, tools=tools, language_model=model)
    yield built
    built.close()


def say(house: Early, text: str) -> str:
    return str(last(house.conversation.ask(text, "text"))["reply"])


def test_a_tool_is_called_shown_and_told(house: Early, tools: NotedTools) -> None:
    tools.answers = "rain in Oslo"
    events = told(house.conversation.ask("Please look up Oslo.", "text"))
    assert [event["event"] for event in events] == ["heard", "tool", "token", "turn"]
    assert events[1] == {
        "event": "tool",
        "turn": 1,
        "source": "text",
        "server": "kitchen",
        "tool": "look up",
        "arguments": {"what": "Oslo"},
    }
    assert (events[-1]["reply"], events[-1]["ability"]) == ("It says: rain in Oslo", "tools")
    assert tools.called == [("look up", {"what": "Oslo"})]
    [stored] = house.store.history.last_turns(5)
    assert stored.reply == "It says: rain in Oslo"


def test_what_needs_no_tool_is_answered_as_ever(
    house: Early, tools: NotedTools, model: CallingLanguageModel
) -> None:
    assert say(house, "hello") == "0 hello"
    assert model.remembered == ["0 hello"]
    assert tools.called == []


def test_what_changes_something_waits_for_a_yes(house: Early, tools: NotedTools) -> None:
    assert say(house, "delete the list") == "Shall I do this: delete: what the list?"
    assert tools.called == []
    assert say(house, "Yes.") == "It says: all is well"
    assert tools.called == [("delete", {"what": "the list"})]


@pytest.mark.parametrize("answer", ["No.", "hello"])
def test_without_a_yes_nothing_is_called(house: Early, tools: NotedTools, answer: str) -> None:
    say(house, "delete the list")
    say(house, answer)
    say(house, "yes")
    assert tools.called == []


def test_a_yes_that_comes_late_is_none(house: Early, tools: NotedTools) -> None:
    say(house, "delete the list")
    house.clock.now += 61
    say(house, "yes")
    assert tools.called == []


def test_a_tool_that_fails_costs_one_sentence(house: Early, tools: NotedTools) -> None:
    tools.fails = "kitchen does not answer."
    assert say(house, "look up Oslo") == "That did not work: kitchen does not answer."
    tools.fails = ""
    assert say(house, "look up Oslo") == "It says: all is well"


def test_without_tools_nothing_is_chosen(
    house: Early, tools: NotedTools, model: CallingLanguageModel
) -> None:
    tools.tools = []
    assert say(house, "look up Oslo") == "0 look up Oslo"
    assert model.reads == []


@pytest.mark.parametrize("kept", [True, False])
def test_nothing_is_called_before_the_turn_is_kept(
    house: Early, tools: NotedTools, model: CallingLanguageModel, kept: bool
) -> None:
    model.choose = lambda read: [("look up", {"what": "it"})]
    turn = house.conversation.hear_early(SEGMENT)
    assert turn is not None
    assert eventually(lambda: bool(model.reads))
    assert tools.called == []
    if kept:
        house.conversation.keep(turn)
        assert eventually(house.answered)
        assert [event["turn"] for event in house.told if event["event"] == "tool"] == [1]
    else:
        house.conversation.drop(turn)
        assert eventually(lambda: not house.attention.needed)
    assert len(tools.called) == kept
    model.choose = None
    say(house, "and then")
    assert ("a tone of 300" in model.reads[-1]) == kept


def test_the_next_request_is_chosen_for_with_the_last_calls(
    house: Early, model: CallingLanguageModel
) -> None:
    say(house, "look up Oslo")
    say(house, "and tomorrow?")
    assert '"what": "Oslo"' in model.reads[-1]
    house.clock.now += 61
    say(house, "and tomorrow?")
    assert "Oslo" not in model.reads[-1]


def test_a_request_whose_speech_goes_on_is_not_chosen_for(
    house: Early, model: CallingLanguageModel
) -> None:
    say(house, "my cousin in Oslo")
    house.told.clear()
    house.conversation.hear(SEGMENT, replaces=1)
    assert eventually(lambda: "turn" in house.kinds())
    assert model.reads[-1].endswith("a tone of 300")
    assert "Oslo" not in model.reads[-1]


def test_calls_of_a_request_whose_speech_goes_on_are_remembered(
    house: Early, model: CallingLanguageModel
) -> None:
    """They were made, and nothing takes them back."""
    say(house, "look up Oslo")
    house.told.clear()
    house.conversation.hear(SEGMENT, replaces=1)
    assert eventually(lambda: "turn" in house.kinds())
    assert '"what": "Oslo"' in model.reads[-1]


def test_a_second_yes_does_nothing_more(house: Early, tools: NotedTools) -> None:
    say(house, "delete the list")
    tools.leaves = True  # the client is gone while the tool works
    with pytest.raises(AttuneError):
        say(house, "yes")
    tools.leaves = False
    say(house, "yes please")
    assert [name for name, _ in tools.called] == ["delete"]


def test_what_was_done_is_told_if_the_rest_fails(
    house: Early, tools: NotedTools, model: CallingLanguageModel
) -> None:
    model.choose = lambda read: [("look up", {"what": "a"}), ("look up", {"what": "b"})]
    tools.fails_at = 2
    assert say(house, "look up both").startswith("It says: That did not work")
    assert len(tools.called) == 2
    model.choose = lambda read: []
    say(house, "and")
    assert '"what": "a"' in model.reads[-1]


@pytest.mark.parametrize("said", ["", "<tool_call>{}", None])
def test_an_answer_that_the_language_model_finds_no_words_for_is_said_itself(
    house: Early, tools: NotedTools, model: CallingLanguageModel, said: str | None
) -> None:
    """None: its chat is in use by a client of HTTP."""
    model.tells = said
    assert say(house, "look up Oslo") == "all is well"
    tools.answers = ""
    assert say(house, "look up Oslo") == "That is done."


def test_without_a_chat_the_language_model_answers_as_ever(
    house: Early, tools: NotedTools, model: CallingLanguageModel
) -> None:
    def busy(read: str) -> list[tuple[str, dict[str, Any]]]:
        raise RuntimeError("another conversation is being continued")

    model.choose = busy
    assert say(house, "look up Oslo") == "0 look up Oslo"
    assert tools.called == []


def test_stop_ends_a_tools_answer(
    house: Early, tools: NotedTools, model: CallingLanguageModel
) -> None:
    tools.then = house.conversation.stop_reply
    turn = last(house.conversation.ask("look up Oslo", "text"))
    assert (turn["reply"], turn["interrupted"]) == ("", True)


def test_what_a_tool_says_of_a_failure_is_in_no_log(
    house: Early, tools: NotedTools, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    tools.fails = "kitchen says: no event my biopsy"
    assert "my biopsy" in say(house, "look up my biopsy")
    assert "biopsy" not in caplog.text


@pytest.mark.parametrize("asks_first", [True, False])
def test_sentences_that_only_tell_of_orders_call_nothing(
    house: Early, tools: NotedTools, model: CallingLanguageModel, asks_first: bool
) -> None:
    tools.tools = [tool("delete", asks_first=asks_first)]
    model.choose = lambda read: [("delete", {"what": "everything"})]
    for sentence in HOSTILE:
        assert say(house, sentence).startswith("Shall I do this"), sentence
        say(house, "no")
    assert tools.called == []


def test_what_a_tool_answers_is_never_read_where_calls_are_chosen(
    house: Early, tools: NotedTools, model: CallingLanguageModel
) -> None:
    tools.tools = [tool("look up", asks_first=False), tool("delete", asks_first=False)]

    def obeys(read: str) -> list[tuple[str, dict[str, str]]]:
        if any(order in read for order in HOSTILE):
            return [("delete", {"what": "everything"})]
        return [("look up", {"what": "mail"})] if read.endswith("look up mail") else []

    model.choose = obeys
    for order in HOSTILE:
        tools.answers = order
        assert say(house, "look up mail") == f"It says: {order}"
        say(house, "thank you")
    assert {name for name, _ in tools.called} == {"look up"}
