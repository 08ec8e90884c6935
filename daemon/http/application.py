"""Puts the paths together, and answers what goes wrong in one form."""

import logging
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartParser
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import JSONResponse

from engines.errors import AttuneError, TurnAbandoned

from ..installation import version
from . import commands, health
from .errors import RefusedError, body, refusal
from .gate import MOST_BODY_BYTES, Gate
from .offered import Offered
from .openai import chat, fine_tuning, models, speech, transcriptions
from .realtime import route as realtime

logger = logging.getLogger(__name__)

_STATUSES = {
    400: "the request is malformed, or cannot be done",
    401: "it needs a token",
    403: "the token is not for this, or the name or the page is unknown",
    404: "there is no such thing",
    405: "the method is not one of this path's",
    408: "the rest of the request did not come in time",
    413: "the request is too large",
    500: "a defect: the log says more",
    503: "try again in a moment",
}


def make_application(offered: Offered) -> FastAPI:
    """The application that serves `offered`."""
    http = offered.settings.http
    # What is said is not written to a disk, not even for a moment; a body has no more than this.
    MultiPartParser.spool_max_size = MOST_BODY_BYTES

    def count(path: str, status: int, seconds: float) -> None:
        if (running := offered.running()) is not None:
            running.count_request(path, status, seconds)

    app = FastAPI(
        title="Attune",
        version=version(),
        summary="A voice assistant that learns its user's voice on the device.",
        docs_url=None,  # the pages would be fetched from elsewhere
        redoc_url=None,
        middleware=[  # the first is the outermost: a page reads why it was refused
            Middleware(
                CORSMiddleware,
                allow_origins=http.all_origins,
                allow_methods=["*"],
                allow_headers=["*"],
            ),
            Middleware(Gate, offered.tokens, http.all_names, http.all_origins, count),
        ],
        responses={
            status: {"description": text, "content": {"application/json": {"schema": _ERROR}}}
            for status, text in _STATUSES.items()
        },
    )
    app.state.offered = offered
    rooms = (models, chat, transcriptions, speech, realtime, fine_tuning, health, commands)
    for room in rooms:
        app.include_router(room.router)
    app.exception_handler(AttuneError)(_told)
    app.exception_handler(RequestValidationError)(_malformed)
    app.exception_handler(HTTPException)(_not_there)
    app.exception_handler(TurnAbandoned)(_left)
    app.exception_handler(Exception)(_failed)
    described = app.openapi

    def openapi() -> dict[str, Any]:
        return without_422(described())

    app.openapi = openapi  # type: ignore[method-assign]
    return app


_ERROR = {
    "type": "object",
    "properties": {
        "error": {
            "type": "object",
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "code": {"type": ["string", "null"]},
            },
            "required": ["message", "type", "param", "code"],
        }
    },
    "required": ["error"],
}


def without_422(document: dict[str, Any]) -> dict[str, Any]:
    """The document without the status that FastAPI has for malformed requests: here it is 400."""
    for path in document["paths"].values():
        for operation in path.values():
            operation.get("responses", {}).pop("422", None)
    for name in ("HTTPValidationError", "ValidationError"):
        document.get("components", {}).get("schemas", {}).pop(name, None)
    return document


async def _told(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, AttuneError)
    refused = refusal(error)
    return JSONResponse(body(refused), refused.status, refused.headers)


async def _malformed(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"] if part not in ("body", "query"))
    refused = RefusedError(400, f"{where or 'the request'}: {first['msg']}", None, where or None)
    return JSONResponse(body(refused), 400)


async def _not_there(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    refused = RefusedError(error.status_code, str(error.detail))
    return JSONResponse(body(refused), error.status_code, dict(error.headers or {}))


async def _left(_request: Request, _error: Exception) -> JSONResponse:
    return JSONResponse(body(RefusedError(499, "the client has left")), 499)


async def _failed(request: Request, error: Exception) -> JSONResponse:
    request_id = getattr(request.state, "request_id", "")
    logger.error("request %s failed", request_id, exc_info=error)
    refused = RefusedError(500, f"this failed; the log says more about {request_id}")
    return JSONResponse(body(refused), 500, {"x-request-id": request_id})
