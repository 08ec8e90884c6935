"""`/v1/audio/speech`: says a text, and sends the sound while it is spoken."""

import base64
import json
from collections.abc import AsyncGenerator, Generator, Iterator
from contextlib import aclosing
from functools import partial
from itertools import chain
from typing import Annotated, Literal, get_args

from fastapi import APIRouter, Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field, StringConstraints

from engines.errors import AttuneError, TurnAbandoned
from engines.types import Float32

from ...clients import Client
from ...speaking.clauses import ClauseCutter
from ..context import first_of, offered_by, while_there, who
from ..errors import RefusedError, body, refusal
from ..offered import Offered
from .sound_formats import Format, encoded, mime_type

router = APIRouter(tags=["speech"])
MOST_CHARACTERS = 8000


class VoiceId(BaseModel):
    """A voice by its id."""

    id: str = Field(max_length=200)


class SpeechRequest(BaseModel):
    """A text that is to be said."""

    input: Annotated[str, StringConstraints(max_length=MOST_CHARACTERS)]
    model: str = Field("attune", max_length=200)
    voice: Annotated[str, StringConstraints(max_length=200)] | VoiceId | None = None
    response_format: Format = "mp3"
    speed: float | None = Field(None, ge=0.5, le=2.0)
    stream_format: Literal["audio", "sse"] | None = None


@router.post(
    "/v1/audio/speech",
    response_class=StreamingResponse,
    responses={
        200: {
            "content": {
                **{
                    mime_type(form): {"schema": {"type": "string", "format": "binary"}}
                    for form in get_args(Format)
                },
                "text/event-stream": {"schema": {}},
            }
        }
    },
)
async def speak(request: Request, given: SpeechRequest) -> StreamingResponse:
    """Say a text. A voice that there is not stands for the usual one: clients have names of their
    own built in."""
    offered = offered_by(request)
    pieces = offered.speaking.stream(who(request), lambda client: _said(offered, given, client))
    first = await while_there(request, first_of(pieces))
    if not first:
        raise RefusedError(400, "nothing in the text can be said", None, "input")
    if given.stream_format == "sse":
        return StreamingResponse(_events(first, pieces), media_type="text/event-stream")
    return StreamingResponse(_bytes(first, pieces), media_type=mime_type(given.response_format))


async def _bytes(first: bytes, pieces: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    async with aclosing(pieces):
        yield first
        async for piece in pieces:
            yield piece


async def _events(first: bytes, pieces: AsyncGenerator[bytes, None]) -> AsyncGenerator[str, None]:
    try:
        async with aclosing(_bytes(first, pieces)) as all_pieces:
            async for piece in all_pieces:
                told = {"type": "speech.audio.delta", "audio": base64.b64encode(piece).decode()}
                yield f"data: {json.dumps(told)}\n\n"
    except AttuneError as error:
        yield f"data: {json.dumps({'type': 'error', **body(refusal(error))})}\n\n"
        return
    usage = {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}
    yield f"data: {json.dumps({'type': 'speech.audio.done', 'usage': usage})}\n\n"


def _said(offered: Offered, given: SpeechRequest, client: Client) -> Generator[bytes, None, None]:
    cutter = ClauseCutter()
    clauses = [*cutter.push(given.input), *cutter.flush()]
    asked = given.voice.id if isinstance(given.voice, VoiceId) else given.voice
    say = partial(offered.voice.speak, name=offered.ready_voice(asked), speed=given.speed)

    def spoken() -> Iterator[tuple[int, Float32]]:
        for clause in clauses:
            if client.left:
                raise TurnAbandoned
            rate_hz, samples = say(clause)
            if len(samples):
                yield rate_hz, samples

    sounding = spoken()
    first = next(sounding, None)
    if first is None:
        return

    yield from filter(None, encoded(chain([first], sounding), given.response_format))
