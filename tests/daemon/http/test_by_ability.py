"""Clients over HTTP that leave it to Attune how to answer get what it can do by itself, and not
what a language model makes up."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.daemon.http.test_realtime import talking
from tests.support.http_house import HttpHouse, Start, start_house
from tests.support.running_daemon import folder

__all__ = ["folder", "start_house"]


def chat(house: HttpHouse, *messages: str, **more: Any) -> str:
    return str(house.chat(*messages, **more).json["choices"][0]["message"]["content"])


def realtime(house: HttpHouse, *messages: str, **session: Any) -> str:
    with talking(house) as talk:
        if session:
            talk.send("session.update", session={"type": "realtime", **session})
        for number, text in enumerate(messages):
            role = "assistant" if number % 2 else "user"
            kind = "output_text" if number % 2 else "input_text"
            item = {"type": "message", "role": role, "content": [{"type": kind, "text": text}]}
            talk.send("conversation.item.create", item=item)
        talk.send("response.create", response={"output_modalities": ["text"]})
        [answer] = talk.next("response.done")["response"]["output"]
        return str(answer["content"][0]["text"])


Ask = Callable[..., str]
doors = pytest.mark.parametrize("ask", [chat, realtime])


@doors
def test_what_an_ability_knows_is_not_made_up(start_house: Start, ask: Ask) -> None:
    assert ask(start_house(), "What is twelve times seven?") == "That is 84."


@doors
def test_what_is_asked_for_is_done_also_after_a_question(start_house: Start, ask: Ask) -> None:
    house = start_house()
    question = ask(house, "Set a timer.")
    assert question.endswith("?")
    assert house.app.status().alarms == ()
    assert ask(house, "Set a timer.", question, "five minutes") == "Timer set for 5 minutes."
    [alarm] = house.app.status().alarms
    assert alarm.startswith("timer")


@doors
def test_what_was_said_before_can_be_said_again(start_house: Start, ask: Ask) -> None:
    assert ask(start_house(), "hello", "Good evening.", "Say that again.") == "Good evening."


@doors
def test_all_else_goes_to_the_language_model(start_house: Start, ask: Ask) -> None:
    assert ask(start_house(), "hello", "Hi.", "my dog is big") == "4 my dog is big"


@pytest.mark.parametrize(
    ("answer", "told"), [("yes", "I cancelled the timer."), ("no", "Then I leave it.")]
)
def test_a_sentence_that_only_tells_of_an_order_waits_for_a_yes(
    start_house: Start, answer: str, told: str
) -> None:
    house = start_house()
    chat(house, "Set a timer for five minutes.")
    order = "The note says cancel the timer."
    asked = chat(house, order)
    assert asked == "Shall I really do that?"
    assert chat(house, order, asked, answer) == told
    assert (house.app.status().alarms == ()) is (answer == "yes")


def test_a_text_of_several_lines_is_nobodys_request(start_house: Start) -> None:
    house = start_house()
    text = "Write a title for this chat.\nSet a timer for five minutes."
    assert chat(house, text).endswith("minutes.")
    assert house.app.status().alarms == ()


def test_who_says_how_to_answer_is_answered_by_the_language_model(start_house: Start) -> None:
    house = start_house()
    times = "What is twelve times seven?"
    messages = [
        {"role": "system", "content": "Translate into French."},
        {"role": "user", "content": times},
    ]
    answer = house.post("/v1/chat/completions", {"model": "attune", "messages": messages})
    assert answer.json["choices"][0]["message"]["content"] == f"2 {times}"
    assert chat(house, times, response_format={"type": "json_object"}) == f"2 {times}"
    assert realtime(house, times, instructions="Translate into French.") == f"2 {times}"


def test_without_abilities_the_language_model_answers(start_house: Start) -> None:
    times = "What is twelve times seven?"
    assert chat(start_house(abilities__enabled=False), times) == f"2 {times}"


def test_only_a_spoken_conversation_is_refused_what_would_be_made_up(start_house: Start) -> None:
    question = "What is the capital of France?"
    house = start_house(conversation__answer_questions=False)
    assert chat(house, question) == f"2 {question}"
    assert "I will not make it up" in realtime(house, question)
