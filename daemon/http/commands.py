"""`/api`: everything that the control socket does, by the same requests, and what happens as a
stream of events."""

import json
import os
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated, Any

from fastapi import APIRouter, File, Form, Request, UploadFile
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ValidationError, create_model

from engines.errors import AttuneError
from engines.schema import first_problem

from ..control import requests
from ..events.event import Event
from .context import first_of, offered_by, place, running, while_there
from .errors import RefusedError, body, refusal
from .work import produced

router = APIRouter(prefix="/api", tags=["attune"])
_BY_SOCKET_ALONE = (requests.Enroll, requests.Follow)
"""What brings many recordings at once, and what is a path of its own here."""
_WITH_RECORDING = (requests.Ask, requests.Listen, requests.ChangeVocabulary)
_OWN_FIELDS = ("command", "descriptors")


class Answered(BaseModel):
    """The events that answer a request, in their order."""

    events: list[dict[str, Any]]


@router.get("/status")
async def status(request: Request) -> dict[str, Any]:
    """Tell what the daemon does, as `attune status --json` does."""
    [found] = [event async for event in _events(request, requests.GetStatus())]
    return found.message()


@router.get(
    "/events",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/event-stream": {"schema": {}}}}},
)
async def follow(request: Request, levels: bool = False) -> StreamingResponse:
    """Tell what happens: first the state as it is, then every event; with `levels` also how loud
    the microphone is."""
    [now] = [event async for event in _events(request, requests.GetStatus())]
    happening = _events(request, requests.Follow(levels=levels))
    return StreamingResponse(_stream(happening, now), media_type="text/event-stream")


def _add(kind: type[requests.Request]) -> None:
    """Add the path of one request."""
    name: str = kind.model_fields["command"].default
    fields: Any = {
        field: (info.annotation, info)
        for field, info in kind.model_fields.items()
        if field not in _OWN_FIELDS
    }
    model = create_model(kind.__name__, **fields)
    about = (kind.__doc__ or "").split("\n\n")[0] or f"As `attune {name}`."
    more: Any = {
        "response_model": Answered,
        "responses": {200: {"content": {"text/event-stream": {"schema": {}}}}},
    }

    async def run(request: Request, given: Any) -> Answered | StreamingResponse:
        return await _answer(request, _checked(kind, given.model_dump(exclude_unset=True)))

    run.__annotations__["given"] = model
    router.post(f"/{name}", name=name, description=about, **more)(run)
    if kind not in _WITH_RECORDING:
        return

    async def run_with_recording(
        request: Request,
        file: Annotated[UploadFile, File()],
        given: Annotated[str, Form(alias="request", max_length=100_000)] = "{}",
    ) -> Answered | StreamingResponse:
        try:
            fields = json.loads(given)
        except (ValueError, RecursionError) as error:
            raise RefusedError(400, "`request` is no JSON", None, "request") from error
        if not isinstance(fields, dict):
            raise RefusedError(400, "`request` is no JSON object", None, "request")
        fields = {key: value for key, value in fields.items() if key not in _OWN_FIELDS}
        wanted = _checked(kind, {"audio": "the recording", **fields})
        recording = _in_memory(await file.read())
        held = wanted.model_copy(update={"descriptors": (recording,)})
        return await _answer(request, held, recording)

    described = f"{about} The recording is the file; all else is JSON in the field `request`."
    router.post(f"/{name}/recording", name=f"{name}_recording", description=described, **more)(
        run_with_recording
    )


for _kind in requests.KINDS:
    if _kind not in _BY_SOCKET_ALONE:
        _add(_kind)


def _checked(kind: type[requests.Request], fields: dict[str, Any]) -> requests.Request:
    try:
        return kind.model_validate(fields)
    except ValidationError as error:
        where, what = first_problem(error)
        raise RefusedError(400, f"{where or 'the request'}: {what}", None, where) from error


def _in_memory(data: bytes) -> int:
    """A descriptor of a file in memory."""
    descriptor = os.memfd_create("upload")
    with os.fdopen(os.dup(descriptor), "wb") as file:
        file.write(data)
    return descriptor


async def _answer(
    request: Request, wanted: requests.Request, recording: int | None = None
) -> Answered | StreamingResponse:
    events = _events(request, wanted, recording)
    if "text/event-stream" in request.headers.get("accept", ""):
        first = await while_there(request, first_of(events))
        return StreamingResponse(_stream(events, first), media_type="text/event-stream")
    return Answered(events=await while_there(request, _messages(events)))


async def _messages(events: AsyncGenerator[Event, None]) -> list[dict[str, Any]]:
    async with aclosing(events):
        return [event.message() async for event in events]


async def _events(
    request: Request, wanted: requests.Request, recording: int | None = None
) -> AsyncGenerator[Event, None]:
    """The events that answer a request. A recording is closed once it is answered."""
    try:
        answer = running(offered_by(request)).answer
        with place(request) as threads:
            produced_events = produced(threads, lambda client: answer(wanted, client))
            async with aclosing(produced_events) as events:
                async for event in events:
                    yield event
    finally:
        if recording is not None:
            os.close(recording)


async def _stream(
    events: AsyncGenerator[Event, None], first: Event | None
) -> AsyncGenerator[str, None]:
    """Events as an event stream; an error is the last of them."""

    def written(event: Event) -> str:
        message = event.message()
        return f"event: {message['event']}\ndata: {json.dumps(message)}\n\n"

    async with aclosing(events):
        try:
            if first is not None:
                yield written(first)
            async for event in events:
                yield written(event)
        except AttuneError as error:
            yield f"event: error\ndata: {json.dumps(body(refusal(error)))}\n\n"
