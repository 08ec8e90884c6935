"""What the protocol's clients send, as OpenAI's SDK has it. Fields that mean nothing here are
passed over."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, TypeAdapter

MOST_CHARACTERS = 100_000
Text = Annotated[str, Field(max_length=MOST_CHARACTERS)]
Id = Annotated[str, Field(max_length=200)]


class TurnDetection(BaseModel):
    """How the end of a turn is found."""

    type: Literal["server_vad", "semantic_vad"] = "server_vad"
    silence_duration_ms: int | None = Field(None, ge=100, le=5000)
    create_response: bool = True
    interrupt_response: bool = True


class AudioFormat(BaseModel):
    """The format of sound."""

    type: str = "audio/pcm"
    rate: int | None = None


class Transcription(BaseModel):
    """How speech becomes text."""

    keywords: list[Annotated[str, Field(max_length=200)]] | None = Field(None, max_length=200)


class InputAudio(BaseModel):
    """The sound that the client sends."""

    format: AudioFormat | None = None
    turn_detection: TurnDetection | None = None
    transcription: Transcription | None = None


class OutputAudio(BaseModel):
    """The sound that the client gets."""

    format: AudioFormat | None = None
    voice: Any = None
    speed: float | None = Field(None, ge=0.5, le=2.0)


class Audio(BaseModel):
    """Both."""

    input: InputAudio | None = None
    output: OutputAudio | None = None


class SessionGiven(BaseModel):
    """What a client wants to have otherwise."""

    type: Literal["realtime", "transcription"] | None = None
    instructions: Text | None = None
    output_modalities: list[Literal["text", "audio"]] | None = Field(None, max_length=2)
    max_output_tokens: Annotated[int, Field(ge=1)] | Literal["inf"] | None = None
    audio: Audio | None = None


class Content(BaseModel):
    """A part of a message."""

    type: Literal["input_text", "input_audio", "output_text", "output_audio", "text"]
    text: Text | None = None
    transcript: Text | None = None
    audio: str | None = None


class Item(BaseModel):
    """A message."""

    id: Id | None = None
    type: Literal["message"]
    role: Literal["user", "assistant", "system"]
    content: list[Content] = Field(max_length=50)


class ResponseGiven(BaseModel):
    """What a client wants to have otherwise in one response."""

    instructions: Text | None = None
    output_modalities: list[Literal["text", "audio"]] | None = Field(None, max_length=2)
    max_output_tokens: Annotated[int, Field(ge=1)] | Literal["inf"] | None = None


class SessionUpdate(BaseModel):
    type: Literal["session.update"]
    session: SessionGiven


class Append(BaseModel):
    type: Literal["input_audio_buffer.append"]
    audio: str


class Commit(BaseModel):
    type: Literal["input_audio_buffer.commit"]


class Clear(BaseModel):
    type: Literal["input_audio_buffer.clear"]


class CreateItem(BaseModel):
    type: Literal["conversation.item.create"]
    item: Item


class DeleteItem(BaseModel):
    type: Literal["conversation.item.delete"]
    item_id: Id


class RetrieveItem(BaseModel):
    type: Literal["conversation.item.retrieve"]
    item_id: Id


class TruncateItem(BaseModel):
    type: Literal["conversation.item.truncate"]
    item_id: Id
    content_index: int = 0
    audio_end_ms: int = Field(ge=0)


class CreateResponse(BaseModel):
    type: Literal["response.create"]
    response: ResponseGiven | None = None


class CancelResponse(BaseModel):
    type: Literal["response.cancel"]


ClientEvent = Annotated[
    SessionUpdate
    | Append
    | Commit
    | Clear
    | CreateItem
    | DeleteItem
    | RetrieveItem
    | TruncateItem
    | CreateResponse
    | CancelResponse,
    Field(discriminator="type"),
]
CLIENT_EVENTS: TypeAdapter[ClientEvent] = TypeAdapter(ClientEvent)
