"""Conversations through OpenAI's interface."""

import base64
import http.client
import json
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from daemon.app import Surroundings
from daemon.config.settings import Settings
from daemon.serving.models import ServingModels
from tests.support.audio_fixtures import espeak, tone, write_wav
from tests.support.fake_child import eventually
from tests.support.fake_speech import fake_loudspeaker, open_hum
from tests.support.fakes import EchoClientChat, EchoLanguageModel, fake_models
from tests.support.http_house import HttpHouse, Start, start_house
from tests.support.running_daemon import folder

__all__ = ["folder", "start_house"]

TOOLS = [{"type": "function", "function": {"name": "turn_on", "parameters": {"type": "object"}}}]


def surroundings(model: EchoLanguageModel) -> Surroundings:
    def opened(settings: Settings) -> ServingModels:
        return replace(fake_models(settings), language_model=model)

    return Surroundings(
        open_models=opened, open_voice=open_hum, open_loudspeaker=fake_loudspeaker()
    )


def test_a_conversation_is_continued(start_house: Start) -> None:
    house = start_house()
    answer = house.chat("hello", "hi", "how are you").json
    # The system prompt stands before them.
    assert answer["choices"][0]["message"]["content"] == "4 how are you"
    assert answer["choices"][0]["finish_reason"] == "stop"
    usage = answer["usage"]
    assert usage["completion_tokens"] == 4
    assert usage["total_tokens"] == usage["prompt_tokens"] + 4
    own = house.post(
        "/v1/chat/completions",
        {"messages": [{"role": "developer", "content": "be brief"},
                      {"role": "user", "content": [{"type": "text", "text": "hello"}]}]},
    )  # fmt: skip
    assert own.json["choices"][0]["message"]["content"] == "2 hello"


def test_a_reply_is_streamed(start_house: Start) -> None:
    house = start_house()
    answer = house.chat("one two", stream=True, stream_options={"include_usage": True})
    assert answer.headers["content-type"].startswith("text/event-stream")
    *chunks, usage = answer.events
    assert [chunk["choices"][0]["delta"].get("content") for chunk in chunks] == [
        "", "2", " one", " two", None,
    ]  # fmt: skip
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"
    assert usage["usage"]["completion_tokens"] == 3
    assert len({chunk["id"] for chunk in chunks}) == 1
    assert answer.body.endswith(b"data: [DONE]\n\n")


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_a_reply_is_as_long_as_asked(start_house: Start, name: str) -> None:
    answer = start_house().chat("a b c d", **{name: 2}).json["choices"][0]
    assert (answer["message"]["content"], answer["finish_reason"]) == ("2 a", "length")


@pytest.mark.parametrize("stream", [False, True])
def test_a_call_of_a_tool_is_told_as_one(start_house: Start, stream: bool) -> None:
    answer = start_house(tools__use=True).chat("light", tools=TOOLS, stream=stream)
    if stream:
        deltas = [chunk["choices"][0] for chunk in answer.events]
        [called] = [one["delta"]["tool_calls"] for one in deltas if "tool_calls" in one["delta"]]
        assert called[0]["index"] == 0
        assert not any(one["delta"].get("content") for one in deltas)
        finish = deltas[-1]["finish_reason"]
    else:
        choice = answer.json["choices"][0]
        assert choice["message"]["content"] is None
        called, finish = choice["message"]["tool_calls"], choice["finish_reason"]
    assert finish == "tool_calls"
    assert called[0]["function"]["name"] == "turn_on"
    assert json.loads(called[0]["function"]["arguments"]) == {"text": "light"}


@pytest.mark.parametrize("stream", [False, True])
def test_no_tool_is_called_where_none_may_be(start_house: Start, stream: bool) -> None:
    answer = start_house(tools__use=True).chat(
        "light", tools=TOOLS, tool_choice="none", stream=stream
    )
    if stream:
        text = "".join(one["choices"][0]["delta"].get("content") or "" for one in answer.events)
    else:
        text = answer.json["choices"][0]["message"]["content"]
    assert text == "2 light"


def test_a_language_model_that_was_not_tried_is_given_no_tools(start_house: Start) -> None:
    message = start_house().chat("light", tools=TOOLS).json["choices"][0]["message"]
    assert (message["content"], message["tool_calls"]) == ("2 light", None)


@pytest.mark.parametrize(
    ("choice", "must_call", "offered"),
    [
        ("auto", False, ["turn_on", "turn_off"]),
        ("required", True, ["turn_on", "turn_off"]),
        ({"type": "function", "function": {"name": "turn_off"}}, True, ["turn_off"]),
        ({"type": "function", "function": {"name": "unknown"}}, False, []),
        ({"function": "turn_off"}, False, []),
        ({}, False, []),
    ],
)
def test_a_client_may_want_a_certain_call(
    start_house: Start, choice: Any, must_call: bool, offered: list[str]
) -> None:
    seen: list[tuple[bool, list[str]]] = []

    class Noting(EchoLanguageModel):
        @property
        def client_chat(self) -> Any:
            class Chat(EchoClientChat):
                def complete(
                    self, messages: Any, sampling: Any, tools: Any = (), *given: Any, **more: Any
                ) -> Any:
                    seen.append((more["must_call"], [one["function"]["name"] for one in tools]))
                    return super().complete(messages, sampling, tools, *given, **more)

            return Chat(self)

    off = {"type": "function", "function": {"name": "turn_off"}}
    house = start_house(surroundings(Noting()), tools__use=True)
    house.chat("x", tools=[*TOOLS, off], tool_choice=choice)
    assert seen == [(must_call, offered)]


def test_a_call_within_a_sentence_is_none(start_house: Start) -> None:
    words = 'so: {"name": "turn_on", "arguments": {}}'

    class Prose(EchoLanguageModel):
        @property
        def client_chat(self) -> Any:
            class Chat(EchoClientChat):
                def complete(self, *given: Any, **more: Any) -> Any:
                    yield words

            return Chat(self)

    message = (
        start_house(surroundings(Prose()), tools__use=True)
        .chat("x", tools=TOOLS)
        .json["choices"][0]["message"]
    )
    assert (message["content"], message["tool_calls"]) == (words, None)


def test_without_a_seed_each_reply_is_drawn_anew(start_house: Start) -> None:
    seeds: list[int] = []

    class Noting(EchoLanguageModel):
        @property
        def client_chat(self) -> Any:
            class Chat(EchoClientChat):
                def complete(self, messages: Any, sampling: Any, *given: Any, **more: Any) -> Any:
                    seeds.append(sampling.seed)
                    return super().complete(messages, sampling, *given, **more)

            return Chat(self)

    house = start_house(surroundings(Noting()))
    for more in ({}, {}, {"seed": 7}, {"seed": -7}):
        house.chat("x", temperature=1, **more)
    assert len(set(seeds[:2])) == 2
    assert seeds[2:] == [7, 7]


def test_messages_without_end_are_refused(start_house: Start) -> None:
    house = start_house()
    assert house.chat(*(["x" * 90_000] * 3)).json["error"]["code"] == "context_length_exceeded"
    tools = [{"type": "function", "function": {"name": "t", "description": "x" * 250_000}}]
    assert house.chat("x", tools=tools).json["error"]["code"] == "context_length_exceeded"


def test_the_result_of_a_tool_is_read(start_house: Start) -> None:
    call = {"id": "1", "type": "function", "function": {"name": "turn_on", "arguments": "{}"}}
    answer = start_house().post(
        "/v1/chat/completions",
        {"messages": [{"role": "user", "content": "light"},
                      {"role": "assistant", "content": None, "tool_calls": [call]},
                      {"role": "tool", "tool_call_id": "1", "content": "it is on"}]},
    )  # fmt: skip
    assert answer.json["choices"][0]["message"]["content"] == "4 it is on"


def said(path: Path) -> dict[str, object]:
    data = base64.b64encode(path.read_bytes()).decode()
    return {"type": "input_audio", "input_audio": {"data": data, "format": "wav"}}


def test_what_is_said_in_a_recording_is_answered(start_house: Start, tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    write_wav(path, espeak("What time is it?"))
    house = start_house()
    messages = [{"role": "user", "content": [said(path)]}]
    message = house.post("/v1/chat/completions", {"messages": messages}).json["choices"][0][
        "message"
    ]
    assert message["heard"].startswith("a tone of ")
    assert message["content"] == f"2 {message['heard']}"
    assert not list(house.settings.state_dir.rglob("*.flac"))


def test_a_recording_without_speech_is_refused(start_house: Start, tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    write_wav(path, tone(1.0))
    answer = start_house().post(
        "/v1/chat/completions", {"messages": [{"role": "user", "content": [said(path)]}]}
    )
    assert (answer.status, answer.error) == (400, "nothing was said in the recording")


def test_a_yes_to_the_question_back_stands_for_what_was_said(start_house: Start) -> None:
    asked = "I am not sure that I heard you. Did you say: my dog is big"
    answer = start_house().chat("(a recording)", asked, "Yes.")
    assert answer.json["choices"][0]["message"]["content"] == "3 my dog is big"


@pytest.mark.parametrize(
    "what",
    [
        {},
        {"messages": []},
        {"messages": [{"role": "nobody", "content": "x"}]},
        {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
        {"messages": [{"role": "user", "content": "x"}], "n": 2},
        {"messages": [{"role": "user", "content": "x"}], "temperature": 9},
        {"messages": [{"role": "user", "content": "x"}], "max_tokens": 0},
        {"messages": [{"role": "user", "content": "too long"}]},
        {"messages": [{"role": "user", "content": "x"}], "response_format": {"type": "xml"}},
        {"messages": [{"role": "user", "content": "x"}],
         "response_format": {"type": "json_schema", "json_schema": {"name": "x"}}},
        {"messages": [{"role": "user", "content": "x"}],
         "response_format": {"type": "json_schema", "json_schema": {"schema": {"type": 5}}}},
        {"messages": [{"role": "user", "content": [
            {"type": "input_audio", "input_audio": {"data": "?", "format": "wav"}}]}]},
        {"messages": [{"role": "user", "content": [
            {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}]}]},
        [],
        "x",
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_in_openais_form(start_house: Start, what: object) -> None:
    answer = start_house().post("/v1/chat/completions", what)
    assert answer.status == 400
    assert set(answer.json["error"]) == {"message", "type", "param", "code"}
    assert answer.json["error"]["type"] == "invalid_request_error"


def test_messages_that_do_not_fit_have_openais_code(start_house: Start) -> None:
    error = start_house().chat("too long").json["error"]
    assert error["code"] == "context_length_exceeded"


def test_a_defect_is_told_and_the_next_request_is_answered(start_house: Start) -> None:
    house = start_house()
    failed = house.chat("defect", stream=True)
    assert failed.status == 500
    assert failed.headers["x-request-id"] in failed.error
    assert "ZeroDivision" not in failed.error
    assert house.chat("hello").status == 200


def test_the_users_own_turn_comes_first(start_house: Start) -> None:
    """A long reply to a client waits as long as a turn of the user's own is answered."""
    model = EchoLanguageModel()
    house = start_house(surroundings(model))
    model.hold_after = 2
    model.hold.clear()
    answers: list[str] = []

    def ask() -> None:
        text = house.chat("a b c d e f").json["choices"][0]["message"]["content"]
        answers.append(f"client: {text}")

    client = threading.Thread(target=ask)
    client.start()
    assert model.began.wait(60)
    conversation = house.app.parts.conversation

    def own() -> None:
        *_, last = conversation.ask("own", "text")
        answers.append(f"own: {last.reply}")  # type: ignore[attr-defined]

    user = threading.Thread(target=own)
    user.start()
    assert eventually(lambda: conversation.busy)
    model.hold.set()
    user.join(60)
    client.join(60)
    assert answers == ["own: 0 own", "client: 2 a b c d e f"]


def test_a_reply_ends_when_its_client_leaves(start_house: Start) -> None:
    model = EchoLanguageModel()
    model.seconds_per_word = 0.05
    house = start_house(surroundings(model), conversation__max_reply_tokens=500)
    body = {"messages": [{"role": "user", "content": "word " * 400}], "stream": True}
    connection = http.client.HTTPConnection("127.0.0.1", house.port, timeout=60)
    connection.request(
        "POST", "/v1/chat/completions", json.dumps(body), {"Content-Type": "application/json"}
    )
    assert connection.getresponse().read(20)
    connection.close()
    assert eventually(lambda: not house.app.parts.attention.needed)


def test_a_client_that_leaves_while_it_waits_is_passed_over(start_house: Start) -> None:
    model = EchoLanguageModel()
    model.hold.clear()
    house = start_house(surroundings(model))
    first = threading.Thread(target=house.chat, args=("first",))
    first.start()
    assert model.began.wait(60)
    body = json.dumps({"messages": [{"role": "user", "content": "gone"}], "stream": True})
    gone = [http.client.HTTPConnection("127.0.0.1", house.port, timeout=60) for _ in range(3)]
    for one in gone:
        one.request("POST", "/v1/chat/completions", body, {"Content-Type": "application/json"})
    time.sleep(0.3)
    for one in gone:
        one.close()
    time.sleep(0.3)
    model.began.clear()
    model.hold.set()
    first.join(60)
    assert house.chat("second").status == 200
    metrics = house.get("/metrics").body.decode()
    path = 'path="/v1/chat/completions"'
    assert f'attune_http_request_seconds_count{{{path},status="499"}} 3.0' in metrics


def eight(house: HttpHouse) -> list[str]:
    found: list[str] = []

    def ask(number: int) -> None:
        answer = house.chat(f"number {number}").json
        found.append(f"{number}: {answer['choices'][0]['message']['content']}")

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return sorted(found)


def test_no_reply_is_lost_or_crossed(start_house: Start) -> None:
    assert eight(start_house()) == [f"{number}: 2 number {number}" for number in range(8)]


def test_too_many_are_told_to_come_again(
    start_house: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daemon.http.work.MOST_WAITING", 0)
    model = EchoLanguageModel()
    model.hold.clear()
    house = start_house(surroundings(model))
    waiting = threading.Thread(target=house.chat, args=("hello",))
    waiting.start()
    assert model.began.wait(60)
    refused = house.chat("me too")
    model.hold.set()
    waiting.join(60)
    assert (refused.status, refused.headers["retry-after"]) == (503, "2")
