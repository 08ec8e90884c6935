"""`/v1/audio/transcriptions`: turns a recording into text, by the user's own recogniser."""

import json
from collections.abc import AsyncGenerator, Generator
from contextlib import aclosing
from typing import Annotated, Any, Literal

from fastapi import APIRouter, File, Form, Request, UploadFile
from fastapi.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse

from engines.errors import AttuneError
from engines.types import SAMPLE_RATE_HZ

from ...clients import Client
from ..context import first_of, offered_by, running, while_there, who
from ..errors import RefusedError, body, refusal
from ..offered import Offered, Running
from .models import route_of
from .reading import Read, decoded, read, stretches
from .transcript_formats import TranscriptFormat, plain, srt, verbose, vtt

router = APIRouter(tags=["transcriptions"])
_MOST_EXPECTED, _MOST_EXPECTED_CHARACTERS = 200, 200
_TEXT = {"schema": {"type": "string"}}


@router.post(
    "/v1/audio/transcriptions",
    response_model=None,
    responses={
        200: {
            "content": {
                "application/json": {
                    "schema": {
                        "type": "object",
                        "properties": {"text": {"type": "string"}},
                        "required": ["text"],
                    }
                },
                "text/plain": _TEXT,
                "text/vtt": _TEXT,
                "text/event-stream": {"schema": {}},
            }
        }
    },
)
async def transcribe(
    request: Request,
    file: Annotated[UploadFile, File()],
    model: Annotated[str, Form(max_length=200)] = "attune",
    response_format: Annotated[TranscriptFormat, Form()] = "json",
    language: Annotated[str, Form(max_length=20)] = "",
    prompt: Annotated[str, Form(max_length=4000)] = "",
    temperature: Annotated[float, Form(ge=0, le=1)] = 0.0,
    stream: Annotated[bool, Form()] = False,
) -> Response:
    """Turn a recording into text. Fields named `keywords` have phrases that are likelier than other
    words; so do the names in `prompt`, separated by commas or lines. With `word` among
    `timestamp_granularities[]`, verbose_json has the times of words. Nothing is kept."""
    offered = offered_by(request)
    own = offered.settings.engines.language
    if language and language.split("-")[0].lower() != own:
        raise RefusedError(400, f"the language that is spoken here is {own!r}", None, "language")
    form = await request.form()
    data = await file.read()
    seconds: list[float] = []
    wanted = [*form.getlist("timestamp_granularities[]"), *form.getlist("timestamp_granularities")]
    times_words = "word" in wanted and response_format == "verbose_json"
    expected = _expected([*form.getlist("keywords"), *form.getlist("keywords[]")], prompt)

    def work(client: Client) -> Generator[Read, None, None]:
        ready = running(offered)
        route = route_of(model, ready)
        return _read(offered, ready, data, route, expected, seconds, client, times_words)

    found = offered.hearing.stream(who(request), work)
    if stream:
        first = await while_there(request, first_of(found))
        return StreamingResponse(_events(first, found, seconds), media_type="text/event-stream")
    told = await while_there(request, _all(found))
    return _answer(response_format, told, seconds[0], own)


async def _all(found: AsyncGenerator[Read, None]) -> list[Read]:
    async with aclosing(found):
        return [one async for one in found]


@router.post("/v1/audio/translations", response_model=None)
async def translate() -> Response:
    """Refuse: Attune writes what was said in the language in which it was said."""
    raise RefusedError(
        400, "Attune does not translate; use /v1/audio/transcriptions", "unsupported"
    )


def _answer(form: TranscriptFormat, told: list[Read], seconds: float, language: str) -> Response:
    match form:
        case "text":
            return PlainTextResponse(plain(told) + "\n")
        case "srt":
            return PlainTextResponse(srt(told))
        case "vtt":
            return PlainTextResponse(vtt(told), media_type="text/vtt")
        case "verbose_json":
            return JSONResponse(verbose(told, seconds, language))
        case "json":
            usage: dict[str, Any] = {"type": "duration", "seconds": round(seconds)}
            return JSONResponse({"text": plain(told), "usage": usage})


async def _events(
    first: Read | None, found: AsyncGenerator[Read, None], seconds: list[float]
) -> AsyncGenerator[str, None]:
    """The transcript as events, one for each stretch of speech."""

    def event(kind: Literal["delta", "done"], **more: object) -> str:
        return f"data: {json.dumps({'type': f'transcript.text.{kind}', **more})}\n\n"

    told: list[Read] = []
    async with aclosing(found):
        try:
            one = first
            while one is not None:
                yield event("delta", delta=f" {one.text}" if told else one.text)
                told.append(one)
                one = await anext(found, None)
        except AttuneError as error:
            yield f"data: {json.dumps({'type': 'error', **body(refusal(error))})}\n\n"
            return
    usage = {"type": "duration", "seconds": round(seconds[0])}
    yield event("done", text=plain(told), usage=usage)


def _read(
    offered: Offered,
    running: Running,
    data: bytes,
    route: str | None,
    expected: list[str],
    seconds: list[float],
    client: Client,
    times_words: bool,
) -> Generator[Read, None, None]:
    samples = decoded(data, "the recording")
    seconds.append(len(samples) / SAMPLE_RATE_HZ)
    found = stretches(samples, offered.limits)
    yield from read(running, found, route, expected, client, times_words=times_words)


def _expected(keywords: list[Any], prompt: str) -> list[str]:
    """The phrases that a client expects. A prompt of sentences is none: it tells of a style."""
    listed = prompt.replace("\n", ",").split(",")
    some = [str(one) for one in keywords] + [one for one in listed if len(one.split()) <= 4]
    return [one.strip()[:_MOST_EXPECTED_CHARACTERS] for one in some if one.strip()][:_MOST_EXPECTED]
