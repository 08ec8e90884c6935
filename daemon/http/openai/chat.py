"""`/v1/chat/completions`: continues a conversation that a client brings whole."""

import base64
import binascii
import json
import random
import time
import uuid
from collections.abc import AsyncGenerator, Generator, Sequence
from contextlib import ExitStack, aclosing, closing
from dataclasses import dataclass, field
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import StreamingResponse

from engines.chat import ChatMessage, Completion, Sampling, TooLongError
from engines.errors import AttuneError, TurnAbandoned
from engines.llm.grammar import json_grammar
from engines.llm.tool_calls import as_text, find_calls, may_be_call

from ...clients import Client
from ...conversation.dialogue import answer_to_question, question
from ..by_ability import by_ability
from ..context import first_of, offered_by, running, while_there, who
from ..errors import BusyError, RefusedError, body, refusal
from ..offered import Offered, Running
from .chat_schema import (
    MOST_CHARACTERS,
    AudioPart,
    CalledFunction,
    ChatCompletion,
    ChatRequest,
    Choice,
    Message,
    Reply,
    Tool,
    ToolCall,
    Usage,
    characters_in,
)
from .models import route_of
from .reading import decoded, leased, read, stretches

router = APIRouter(tags=["chat"])


@dataclass
class _Told:
    """What is known of a reply beside its text, while it is written."""

    completion: Completion = field(default_factory=Completion)
    heard: str | None = None
    """What was said in the last recording; None if there was none."""
    sure: bool | None = None


@router.post(
    "/v1/chat/completions",
    response_model=ChatCompletion,
    responses={200: {"content": {"text/event-stream": {"schema": {}}}}},
)
async def complete(request: Request, given: ChatRequest) -> ChatCompletion | StreamingResponse:
    """Continue a conversation. What is said in a recording is heard by the user's own recogniser;
    where that is in doubt, the reply asks whether it was said."""
    offered = offered_by(request)
    told = _Told()
    pieces = offered.hearing.stream(
        who(request), lambda client: _write(offered, running(offered), given, client, told)
    )
    about = {
        "id": f"chatcmpl-{uuid.uuid4().hex}",
        "created": int(time.time()),
        "model": given.model,
    }
    if given.stream:
        first = await while_there(request, first_of(pieces))
        return StreamingResponse(
            _events(about, given, first, pieces, told), media_type="text/event-stream"
        )
    text = await while_there(request, _joined(pieces))
    calls = _calls(given, text)
    return ChatCompletion(
        **about,
        choices=[
            Choice(
                message=Reply(
                    content=None if calls else text,
                    tool_calls=calls or None,
                    heard=told.heard,
                    sure=told.sure,
                ),
                finish_reason=_finish(told, calls),
            )
        ],
        usage=_usage(told),
    )


async def _joined(pieces: AsyncGenerator[str, None]) -> str:
    async with aclosing(pieces):
        return "".join([piece async for piece in pieces])


async def _events(
    about: dict[str, Any],
    given: ChatRequest,
    first: str | None,
    pieces: AsyncGenerator[str, None],
    told: _Told,
) -> AsyncGenerator[str, None]:
    """The reply as events, each a piece of it."""

    def event(delta: dict[str, Any], finish: str | None = None, **more: Any) -> str:
        choice = {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}
        chunk = {**about, "object": "chat.completion.chunk", "choices": [choice], **more}
        return f"data: {json.dumps(chunk)}\n\n"

    held = "" if _tools(given) else None
    """What may be a call, as far as it is written; None if it is none."""
    yield event({"role": "assistant", "content": ""})
    async with aclosing(pieces):
        try:
            text = first
            while text is not None:
                if held is not None:
                    held += text
                    if not may_be_call(held):
                        text, held = held, None
                if held is None:
                    yield event({"content": text})
                text = await anext(pieces, None)
            calls = [] if held is None else _calls(given, held)
            if held and not calls:
                yield event({"content": held})
            for number, call in enumerate(calls):
                yield event({"tool_calls": [{"index": number, **call.model_dump()}]})
            yield event({}, _finish(told, calls))
        except AttuneError as error:
            yield f"data: {json.dumps(body(refusal(error)))}\n\n"
            return
    if given.stream_options and given.stream_options.include_usage:
        usage = {**about, "object": "chat.completion.chunk", "choices": []}
        yield f"data: {json.dumps({**usage, 'usage': _usage(told).model_dump()})}\n\n"
    yield "data: [DONE]\n\n"


def _write(
    offered: Offered, running: Running, given: ChatRequest, client: Client, told: _Told
) -> Generator[str, None, None]:
    """The reply, piece by piece."""
    if characters_in(given) > MOST_CHARACTERS:
        raise TooLongError(f"messages and tools have at most {MOST_CHARACTERS} characters")
    *before, last = given.messages
    messages = [_message(offered, running, one, given, client, None) for one in before]
    messages.append(_message(offered, running, last, given, client, told))
    if told.heard is not None and not told.sure:
        told.completion.finish_reason = "stop"
        yield question(told.heard)
        return
    messages = confirmed(messages)
    if messages[0].role != "system":
        if not given.tools and given.response_format is None:
            said = by_ability(running.abilities, messages, refuses=False)
            if said is not None:
                told.completion.finish_reason = "stop"
                yield said
                return
        prompt = offered.settings.conversation.system_prompt
        messages.insert(0, ChatMessage("system", prompt))
    most = given.max_completion_tokens or given.max_tokens
    own = offered.settings.conversation.max_reply_tokens
    stop = [given.stop] if isinstance(given.stop, str) else given.stop or []
    sampling = Sampling(
        max_tokens=most or own,
        temperature=given.temperature or 0.0,
        top_p=given.top_p or 1.0,
        seed=abs(given.seed) if given.seed is not None else random.getrandbits(32),
        stop=tuple(one for one in stop if one),
        grammar=_grammar(given),
    )
    tools = [one.model_dump(exclude_none=True) for one in _tools(given)]
    tools = tools if running.may_call_tools() else []
    yield from continued(
        running, messages, sampling, tools, client, told.completion, must_call=_must_call(given)
    )


def _grammar(given: ChatRequest) -> str:
    """What the reply keeps to; empty where it may be anything."""
    wanted = given.response_format
    if wanted is None or wanted.type == "text":
        return ""
    schema = wanted.json_schema.schema_ if wanted.json_schema is not None else None
    if wanted.type == "json_schema" and not schema:
        raise RefusedError(400, "there is no schema", None, "response_format")
    return json_grammar(schema)


def continued(
    running: Running,
    messages: Sequence[ChatMessage],
    sampling: Sampling,
    tools: list[dict[str, Any]],
    client: Client,
    told: Completion,
    *,
    must_call: bool = False,
) -> Generator[str, None, None]:
    """The language model's reply. The user's own turns come first: as long as one is answered, this
    one waits between two steps."""
    with ExitStack() as held:
        models = held.enter_context(leased(running, client))

        def step() -> None:
            if client.left:
                raise TurnAbandoned
            if not running.answering():
                return
            held.close()
            again = held.enter_context(leased(running, client))
            if again.language_model is not models.language_model:
                raise BusyError("the language model was exchanged meanwhile; ask again")

        chat = models.language_model.client_chat
        wanted = must_call and bool(tools)
        with closing(
            chat.complete(messages, sampling, tools, step, told, must_call=wanted)
        ) as pieces:
            yield from pieces


def _message(
    offered: Offered,
    running: Running,
    one: Message,
    given: ChatRequest,
    client: Client,
    told: _Told | None,
) -> ChatMessage:
    """A message as the language model reads it; what is heard in the last one goes to `told`."""
    role = {"developer": "system", "function": "tool"}.get(one.role, one.role)
    texts = [one.content] if isinstance(one.content, str) else []
    for part in one.content if isinstance(one.content, list) else []:
        if isinstance(part, AudioPart):
            texts.append(_heard(offered, running, part, given, client, told))
        else:
            texts.append(part.text)
    texts += [as_text(call.function.name, call.function.arguments) for call in one.tool_calls or ()]
    return ChatMessage(role, "\n".join(texts))  # type: ignore[arg-type]


def _heard(
    offered: Offered,
    running: Running,
    part: AudioPart,
    given: ChatRequest,
    client: Client,
    told: _Told | None,
) -> str:
    try:
        data = base64.b64decode(part.input_audio.data, validate=True)
    except (binascii.Error, ValueError) as error:
        raise RefusedError(400, "the recording is not in base64", None, "input_audio") from error
    segments = stretches(decoded(data, "the recording"), offered.limits)
    found = list(read(running, segments, route_of(given.model, running), (), client))
    text = " ".join(one.text for one in found)
    if told is not None:
        told.heard = text if told.heard is None else f"{told.heard} {text}"
        told.sure = told.sure is not False and all(one.sure or not one.asks_back for one in found)
        if not text:
            raise RefusedError(400, "nothing was said in the recording", None, "input_audio")
    return text


def confirmed(messages: list[ChatMessage]) -> list[ChatMessage]:
    """`messages`, where a yes to the question whether something was said becomes what was said."""
    if len(messages) < 2 or answer_to_question(messages[-1].content) != "yes":
        return messages
    before, _, words = messages[-2].content.partition(question("").rstrip())
    if before or not words or messages[-2].role != "assistant":
        return messages
    return [*messages[:-2], ChatMessage("user", words.strip())]


def _calls(given: ChatRequest, text: str) -> list[ToolCall]:
    names = {tool.function.name for tool in _tools(given)}
    return [
        ToolCall(
            id=f"call_{uuid.uuid4().hex[:24]}",
            function=CalledFunction(name=call.name, arguments=call.arguments),
        )
        for call in (find_calls(text) if may_be_call(text) else [])
        if call.name in names
    ]


def _tools(given: ChatRequest) -> list[Tool]:
    """The tools that may be called in this reply."""
    tools = given.tools or []
    if given.tool_choice == "none":
        return []
    if isinstance(given.tool_choice, dict):
        function = given.tool_choice.get("function")
        wanted = function.get("name") if isinstance(function, dict) else None
        return [tool for tool in tools if tool.function.name == wanted]
    return tools


def _must_call(given: ChatRequest) -> bool:
    return given.tool_choice == "required" or isinstance(given.tool_choice, dict)


def _finish(told: _Told, calls: list[ToolCall]) -> Any:
    return "tool_calls" if calls else told.completion.finish_reason or "stop"


def _usage(told: _Told) -> Usage:
    prompt, written = told.completion.prompt_tokens, told.completion.completion_tokens
    return Usage(prompt_tokens=prompt, completion_tokens=written, total_tokens=prompt + written)
