"""What `/v1/chat/completions` takes and answers, as OpenAI's clients have it. Fields that mean
nothing here are passed over."""

import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, StringConstraints

MOST_MESSAGES = 500
MOST_CHARACTERS = 200_000
MOST_TOOLS = 128
Text = Annotated[str, StringConstraints(max_length=MOST_CHARACTERS)]


class TextPart(BaseModel):
    """A text in a message."""

    type: Literal["text"]
    text: Text


class InputAudio(BaseModel):
    """A recording in a message."""

    data: str = Field(description="The recording in base64.")
    format: str = Field("wav", max_length=20)


class AudioPart(BaseModel):
    """A recording of what was said."""

    type: Literal["input_audio"]
    input_audio: InputAudio


Part = Annotated[TextPart | AudioPart, Field(discriminator="type")]


class CalledFunction(BaseModel):
    """A function with its arguments."""

    name: str = Field(max_length=200)
    arguments: Text


class ToolCall(BaseModel):
    """A call that the model asked for."""

    id: str = Field("", max_length=200)
    type: Literal["function"] = "function"
    function: CalledFunction


class Message(BaseModel):
    """One message."""

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: Text | list[Part] | None = None
    tool_calls: list[ToolCall] | None = Field(None, max_length=MOST_TOOLS)


class Function(BaseModel):
    """A function that the model may call."""

    name: str = Field(max_length=200)
    description: str | None = None
    parameters: dict[str, Any] | None = None


class Tool(BaseModel):
    """A tool that the model may use."""

    type: Literal["function"]
    function: Function


class StreamOptions(BaseModel):
    """What a stream tells beside the reply."""

    include_usage: bool | None = None


class JsonSchema(BaseModel):
    """The schema of a reply."""

    name: str = Field("", max_length=200)
    schema_: dict[str, Any] | None = Field(None, alias="schema")


class ResponseFormat(BaseModel):
    """What a reply keeps to."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None


class ChatRequest(BaseModel):
    """A conversation that is to be continued."""

    model: str = Field("attune", max_length=200)
    messages: list[Message] = Field(min_length=1, max_length=MOST_MESSAGES)
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: int | None = Field(None, ge=1)
    max_completion_tokens: int | None = Field(None, ge=1)
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, gt=0, le=1)
    seed: int | None = Field(None, ge=-(2**63), lt=2**63)
    stop: (
        Annotated[str, StringConstraints(max_length=200)]
        | Annotated[
            list[Annotated[str, StringConstraints(min_length=1, max_length=200)]],
            Field(max_length=16),
        ]
        | None
    ) = None
    n: int | None = Field(None, ge=1, le=1, description="One reply is given.")
    response_format: ResponseFormat | None = None
    tools: list[Tool] | None = Field(None, max_length=MOST_TOOLS)
    tool_choice: str | dict[str, Any] | None = None


def characters_in(given: ChatRequest) -> int:
    """The length of everything that the language model would read."""
    parts: list[str] = []
    for message in given.messages:
        content = message.content
        parts += [content] if isinstance(content, str) else []
        parts += [one.text for one in content or () if isinstance(one, TextPart)]
        parts += [call.function.arguments for call in message.tool_calls or ()]
    tools = json.dumps([tool.model_dump() for tool in given.tools or ()])
    return sum(map(len, parts)) + len(tools)


class Usage(BaseModel):
    """How many tokens a reply took."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class Reply(BaseModel):
    """The message that continues a conversation."""

    role: Literal["assistant"] = "assistant"
    content: str | None
    tool_calls: list[ToolCall] | None = None
    refusal: None = None
    heard: str | None = Field(None, description="What was said in the last recording.")
    sure: bool | None = Field(None, description="Whether Attune is sure of what it heard.")


class Choice(BaseModel):
    """One reply."""

    index: int = 0
    message: Reply
    finish_reason: Literal["stop", "length", "tool_calls"]
    logprobs: None = None


class ChatCompletion(BaseModel):
    """A reply, whole."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: list[Choice]
    usage: Usage
