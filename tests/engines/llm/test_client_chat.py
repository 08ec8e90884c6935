"""Conversations that callers bring whole: they are read as the template writes them, whatever came
before, and end where the caller says."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from engines.chat import ChatMessage, Completion, Role, Sampling, TooLongError
from engines.errors import AttuneError, TurnAbandoned
from engines.llm.chat_model import LlamaCppLanguageModel
from engines.llm.chat_template import template_parts
from engines.llm.client_chat import LlamaClientChat
from engines.llm.grammar import MOST_REPEATS, json_grammar
from engines.llm.sequence import LlamaSequence
from engines.llm.vocabulary import Vocabulary
from tests.support.llama_conversations import SYSTEM, Opened, one_prompt, rendered
from tests.support.tiny_llama import CHATML

PARIS = "What is the capital of France?"


def said(*words: tuple[Role, str]) -> list[ChatMessage]:
    return [ChatMessage(role, content) for role, content in words]


def asked(words: str, *turns: tuple[str, str]) -> list[ChatMessage]:
    before = [pair for q, a in turns for pair in (("user", q), ("assistant", a))]
    return said(("system", SYSTEM), *before, ("user", words))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def chat(llm_path: Path) -> Iterator[LlamaClientChat]:
    vocabulary = Vocabulary(llm_path)
    model = LlamaCppLanguageModel(llm_path, vocabulary, SYSTEM, 384, threads=2)
    yield model.client_chat
    model.close()
    vocabulary.close()


def reply(chat: LlamaClientChat, messages: list[ChatMessage], **sampling: object) -> str:
    given = Sampling(**({"max_tokens": 12} | sampling))  # type: ignore[arg-type]
    return "".join(chat.complete(messages, given))


def greedy(llm_path: Path, text: str, count: int) -> str:
    """What llama.cpp writes after `text`, token by token, in a sequence of its own."""
    vocabulary = Vocabulary(llm_path)
    for logits in one_prompt(llm_path, vocabulary):
        written = ""
        for _ in range(count):
            token = int(logits(text + written).argmax())
            piece = vocabulary.piece(token).decode()
            if not piece:
                break
            written += piece
    vocabulary.close()
    return written


def test_a_conversation_is_read_as_its_template_writes_it(
    chat: LlamaClientChat, llm_path: Path
) -> None:
    turns = [(PARIS, "The capital of France is Paris.")]
    expected = greedy(llm_path, rendered(turns, "And of Italy?"), 6)
    assert reply(chat, asked("And of Italy?", *turns), max_tokens=6) == expected


def test_what_came_before_changes_nothing(chat: LlamaClientChat) -> None:
    first = reply(chat, asked(PARIS))
    others = [asked("Tell me a joke.", (PARIS, "Paris.")), asked("Hello.")]
    for other in others:
        reply(chat, other)
        assert reply(chat, asked(PARIS)) == first
    assert reply(chat, asked(PARIS)) == first  # all of it is in the sequence already


def test_the_users_own_conversation_stays_as_it_is(real: Opened) -> None:
    model, _ = real
    "".join(model.reply(PARIS, 20))
    expected = model.first_logits("And of Italy?")
    "".join(model.client_chat.complete(asked("Name a color."), Sampling(8)))
    assert np.array_equal(model.first_logits("And of Italy?"), expected)


def test_a_common_beginning_is_read_once(
    chat: LlamaClientChat, monkeypatch: pytest.MonkeyPatch
) -> None:
    reply(chat, asked(PARIS))
    counts = []
    append = LlamaSequence.append_tokens

    def counted(self: LlamaSequence, tokens: list[int], **more: object) -> None:
        counts.append(len(tokens))
        append(self, tokens, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(LlamaSequence, "append_tokens", counted)
    told = Completion()
    list(chat.complete(asked(PARIS + " Say it."), Sampling(1), told=told))
    assert counts[0] < told.prompt_tokens - 10


def test_a_reply_tells_its_tokens_and_why_it_ended(chat: LlamaClientChat) -> None:
    told = Completion()
    "".join(chat.complete(asked(PARIS), Sampling(3), told=told))
    assert (told.completion_tokens, told.finish_reason) == (3, "length")
    spain = ("And of Spain?", "The capital of Spain is Madrid.")
    italy = asked("And of Italy?", (PARIS, "The capital of France is Paris."), spain)
    "".join(chat.complete(italy, Sampling(60), told=told))
    assert told.finish_reason == "stop"
    assert told.completion_tokens < 60
    assert 50 < told.prompt_tokens < 110


def test_a_long_reply_ends_where_the_context_does(chat: LlamaClientChat) -> None:
    told = Completion()
    count = ", ".join(str(number) for number in range(1, 60))
    "".join(chat.complete(asked(f"Count: {count}"), Sampling(100_000), told=told))
    assert told.completion_tokens <= 384 - told.prompt_tokens
    assert told.finish_reason in ("length", "stop")


@pytest.mark.parametrize("length", [1, 2, 5])
def test_a_reply_ends_before_a_stop(chat: LlamaClientChat, length: int) -> None:
    whole = reply(chat, asked(PARIS))
    stop = whole[6 : 6 + length]
    assert reply(chat, asked(PARIS), stop=("never said", stop)) == whole[: whole.index(stop)]


def test_a_stop_that_only_begins_is_said(chat: LlamaClientChat) -> None:
    whole = reply(chat, asked(PARIS))
    assert reply(chat, asked(PARIS), stop=(whole[-3:] + "more",)) == whole


def test_a_seed_draws_the_same_reply_again(chat: LlamaClientChat) -> None:
    drawn = [reply(chat, asked(PARIS), temperature=1.5, seed=seed) for seed in (1, 1, 2, 3)]
    assert drawn[0] == drawn[1]
    assert len(set(drawn)) > 1


def test_only_the_likeliest_are_drawn(chat: LlamaClientChat) -> None:
    likeliest = reply(chat, asked(PARIS))
    assert reply(chat, asked(PARIS), temperature=1e-310, seed=5) == likeliest
    assert reply(chat, asked(PARIS), temperature=2.0, top_p=1e-9, seed=5) == likeliest


def test_control_tokens_in_a_message_are_text(chat: LlamaClientChat) -> None:
    told = Completion()
    list(chat.complete(asked("Hi <|im_end|> there"), Sampling(1), told=told))
    plain = Completion()
    list(chat.complete(asked("Hi there"), Sampling(1), told=plain))
    assert told.prompt_tokens > plain.prompt_tokens + 3


def test_the_oldest_messages_are_left_out(chat: LlamaClientChat) -> None:
    long = [(f"{number} {PARIS}", "The capital of France is Paris.") for number in range(30)]
    counts = []
    for first in (0, 17, 18, 19, 20):
        told = Completion()
        "".join(chat.complete(asked(PARIS, *long[first:]), Sampling(12), told=told))
        counts.append(told.prompt_tokens)
    assert counts[0] == max(counts[1:])  # as many as there is room for
    assert counts[0] <= 384 - 12 < counts[0] + 35


def test_messages_that_do_not_fit_are_refused(chat: LlamaClientChat) -> None:
    with pytest.raises(TooLongError, match="do not fit"):
        reply(chat, asked("word " * 400))
    assert "Paris" in reply(chat, asked(PARIS))


def test_an_abandoned_reply_leaves_the_chat_usable(chat: LlamaClientChat) -> None:
    first = reply(chat, asked(PARIS))

    def leaves() -> None:
        raise TurnAbandoned

    with pytest.raises(TurnAbandoned):
        list(chat.complete(asked("Hello."), Sampling(5), step=leaves))
    begun = chat.complete(asked("Name a color."), Sampling(5))
    next(begun)
    with pytest.raises(RuntimeError):
        reply(chat, asked(PARIS))
    begun.close()
    assert reply(chat, asked(PARIS)) == first


def test_a_template_that_moves_messages_is_refused() -> None:
    assert template_parts(CHATML, ("user",), {})[0].endswith("user\n")
    for template in (
        "{{ messages[1].content }}{{ messages[0].content }}",
        "{{ messages[0].content }}",
        "{{ messages[0].content }}{{ messages[1].content }}{{ messages[1].content }}",
        "{{ raise_exception('no system') }}",
    ):
        with pytest.raises(AttuneError, match="does not take such messages"):
            template_parts(template, ("system", "user"), {})


ROOM = {
    "type": "object",
    "properties": {
        "room": {"type": "string", "enum": ["kitchen", "hall"]},
        "degrees": {"type": "integer"},
    },
    "required": ["room", "degrees"],
}


@pytest.mark.parametrize("temperature", [0.0, 1.5])
def test_a_reply_keeps_to_a_schema(chat: LlamaClientChat, temperature: float) -> None:
    grammar = json_grammar(ROOM)
    told = Completion()
    sampling = Sampling(120, temperature=temperature, seed=3, grammar=grammar)
    text = "".join(chat.complete(asked("Set the hall to 21 degrees."), sampling, told=told))
    found = json.loads(text)
    assert found["room"] in ("kitchen", "hall")
    assert isinstance(found["degrees"], int)
    assert told.finish_reason == "stop"


def test_any_object_may_be_asked_for(chat: LlamaClientChat) -> None:
    sampling = Sampling(120, grammar=json_grammar(None))
    text = "".join(chat.complete(asked("Reply with JSON: a name and an age."), sampling))
    assert text.lstrip().startswith("{")


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "nonsense"},
        {"$ref": "#/nowhere"},
        {"enum": ["x" * 30_000]},
        {"type": 5},
        {"type": "string", "maxLength": 20_000},
        {"type": "array", "minItems": 10**9, "items": {}},
        {"type": "string", "pattern": "^a{100000000}$"},
        {"properties": {"a": {"anyOf": [{"maxLength": 10**7}]}}},
    ],
)
def test_a_schema_that_cannot_be_followed_is_refused(schema: dict[str, object]) -> None:
    with pytest.raises(AttuneError, match="schema"):
        json_grammar(schema)


def test_the_longest_repeats_are_followed(chat: LlamaClientChat) -> None:
    grammar = json_grammar({"type": "string", "maxLength": MOST_REPEATS})
    assert "".join(chat.complete(asked("Hello."), Sampling(40, grammar=grammar))).startswith('"')


def test_a_model_that_is_closed_while_a_client_waits_ends_the_reply(llm_path: Path) -> None:
    vocabulary = Vocabulary(llm_path)
    model = LlamaCppLanguageModel(llm_path, vocabulary, SYSTEM, 384, threads=1)

    def closed_meanwhile() -> None:
        model.close()
        raise AttuneError("the language model was exchanged meanwhile")

    with pytest.raises(AttuneError, match="exchanged"):
        list(model.client_chat.complete(asked(PARIS), Sampling(5), step=closed_meanwhile))
    vocabulary.close()


def test_a_grammar_that_is_none_is_refused(chat: LlamaClientChat) -> None:
    with pytest.raises(AttuneError, match="does not take its grammar"):
        list(chat.complete(asked("Hello."), Sampling(5, grammar="root ::= nowhere")))
    assert reply(chat, asked(PARIS))
