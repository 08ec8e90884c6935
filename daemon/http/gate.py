"""Decides who is let in, and how much a request may bring: before anything else looks at it.

A web page that somebody opens in a browser can send requests to the loopback, under a name that its
owner points there. So the names by which the daemon may be called are known, and so are the pages
that may call it.
"""

import asyncio
import ipaddress
import logging
import re
import socket
import time
import uuid
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketClose

from engines.errors import AttuneError

from .errors import BusyError, RefusedError, body, refusal
from .tokens import Scope as TokenScope
from .tokens import Token, Tokens

logger = logging.getLogger(__name__)

MOST_BODY_BYTES = 26_000_000
_BODY_SECONDS, _WHOLE_BODY_SECONDS = 60.0, 300.0
"""Time in which the next bytes of a body have to come, and all of it."""
MOST_WAITING_BYTES = 120_000_000
"""The bodies of all requests that are being answered together."""
PUBLIC = ("/health/live", "/health/ready", "/openapi.json")
_NEEDED: tuple[tuple[str, TokenScope], ...] = (
    ("/v1/audio/transcriptions", "hear"),
    ("/v1/audio/translations", "hear"),
    ("/v1/audio/speech", "talk"),
    ("/v1/chat", "talk"),
    ("/v1/realtime", "talk"),
    ("/v1/fine_tuning", "learn"),
    ("/metrics", "metrics"),
    ("/api", "manage"),
)
"""The scope that a path needs; all others need any token."""
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_SUBPROTOCOL = "openai-insecure-api-key."
"""How a web page sends its token, which can set no header of a WebSocket."""


class Gate:
    """Stands before the application."""

    def __init__(
        self,
        app: ASGIApp,
        tokens: Tokens,
        names: Sequence[str],
        origins: Sequence[str],
        count: Callable[[str, int, float], None] = lambda path, status, seconds: None,
    ) -> None:
        """Let in who calls the daemon by an address, by this machine's name or by one of `names`,
        from no web page or one of `origins`, and with one of `tokens` where there are any. `count`
        is called with the path, the status and the seconds of each request that was let in."""
        self._app = app
        self._count = count
        self.waiting_bytes = 0
        """The bodies of the requests that are being answered."""
        self._tokens = tokens
        own = socket.gethostname().lower()
        self._names = {"localhost", own, f"{own}.local", *(name.lower() for name in names)}
        self._origins = {origin.lower().rstrip("/") for origin in origins}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request or WebSocket."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        connection = HTTPConnection(scope)
        request_id = _request_id(connection.headers.get("x-request-id", ""))
        scope.setdefault("state", {})["request_id"] = request_id
        try:
            scope["state"]["who"] = self._who(connection)
        except RefusedError as error:
            logger.info("request %s was refused: %s", request_id, error)
            await _refuse(error, request_id, scope, receive, send)
            return

        refused: list[RefusedError] = []
        began, status = time.monotonic(), 499  # the client has left

        async def named(message: Message) -> None:
            nonlocal status
            if refused:
                return  # the application answers that the body is malformed
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [
                    *message.get("headers", []),
                    (b"x-request-id", request_id.encode()),
                ]
            await send(message)

        given = _Body(receive, refused, self)
        try:
            await self._app(scope, given.receive if scope["type"] == "http" else receive, named)
        except Exception:
            status = 500  # it is answered further out
            raise
        finally:
            self.waiting_bytes -= given.taken_bytes
            if scope["type"] == "http":
                told = refused[0].status if refused else status
                self._count(_kind_of(scope), told, time.monotonic() - began)
        if refused:
            await _refuse(refused[0], request_id, scope, receive, send)

    def _who(self, connection: HTTPConnection) -> str:
        """By what name a client's turn is reckoned. Raises RefusedError if it is not let in."""
        headers = connection.headers
        self._check_name(headers.get("host", ""))
        self._check_origin(headers.get("origin", ""), headers.get("host", ""))
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > MOST_BODY_BYTES:
            raise RefusedError(413, f"a request has at most {MOST_BODY_BYTES} bytes")
        peer = connection.client.host if connection.client else ""
        path: str = connection.scope["path"]
        if path in PUBLIC or connection.scope.get("method") == "OPTIONS":
            return peer
        token = self._token(connection, peer)
        if token is None:
            return peer
        needed = next((scope for begins, scope in _NEEDED if path.startswith(begins)), None)
        if needed is not None and needed not in token.scopes:
            raise RefusedError(
                403, f"the token {token.name} is not for this: it needs the scope {needed}"
            )
        return f"token {token.name}"

    def _token(self, connection: HTTPConnection, peer: str) -> Token | None:
        """The token of a request; None where none is needed, since there is none."""
        try:
            exist = bool(self._tokens.all())
            token = self._tokens.find(_secret(connection)) if exist else None
        except AttuneError as error:  # a damaged file lets nobody in
            raise RefusedError(401, str(error)) from error
        if token is not None:
            return token
        if exist:
            raise RefusedError(
                401, "this needs a token; `attune tokens add` makes one", "invalid_api_key"
            )
        if not _is_loopback(peer):
            raise RefusedError(
                401, "from elsewhere this needs a token; `attune tokens add` makes one"
            )
        return None

    def _check_name(self, host: str) -> None:
        name = _name_in(host)
        if name not in self._names and not _is_address(name):
            raise RefusedError(
                403, f"this is not called {host[:100]!r}; `http.names` has the names that it has"
            )

    def _check_origin(self, origin: str, host: str) -> None:
        given = origin.lower().rstrip("/")
        own = {f"http://{host.lower()}", f"https://{host.lower()}"}
        if given and given not in self._origins | own:
            raise RefusedError(
                403,
                f"pages of {origin[:100]!r} may not use this; `http.origins` has those that may",
            )


class _Body:
    """The body of one request: of a limited size, and without long pauses. Of any other body the
    client seems to have left, and `refused` tells why."""

    def __init__(self, receive: Receive, refused: list[RefusedError], gate: Gate) -> None:
        self._receive = receive
        self._refused = refused
        self._gate = gate
        self._until = time.monotonic() + _WHOLE_BODY_SECONDS
        self._whole = False
        self.taken_bytes = 0

    async def receive(self) -> Message:
        """The next piece; see ASGI."""
        if self._whole:  # what comes next tells that the client has left, at any time
            return await self._receive()
        left = min(_BODY_SECONDS, self._until - time.monotonic())
        try:
            async with asyncio.timeout(max(0.0, left)):
                message = await self._receive()
        except TimeoutError:
            return self._refuse(RefusedError(408, "the rest of the request did not come in time"))
        size = len(message.get("body", b""))
        self.taken_bytes += size
        self._gate.waiting_bytes += size
        self._whole = not message.get("more_body", False)
        if self.taken_bytes > MOST_BODY_BYTES:
            return self._refuse(RefusedError(413, f"a request has at most {MOST_BODY_BYTES} bytes"))
        if self._gate.waiting_bytes > MOST_WAITING_BYTES:
            return self._refuse(BusyError("too much is being sent at once; try again in a moment"))
        return message

    def _refuse(self, error: RefusedError) -> Message:
        self._refused.append(error)
        return {"type": "http.disconnect"}


async def _refuse(
    error: RefusedError, request_id: str, scope: Scope, receive: Receive, send: Send
) -> None:
    if scope["type"] == "websocket":
        await WebSocketClose(1008, str(error)[:120])(scope, receive, send)
        return
    headers = error.headers | {"x-request-id": request_id, "Connection": "close"}
    await JSONResponse(body(refusal(error)), error.status, headers)(scope, receive, send)


def _secret(connection: HTTPConnection) -> str:
    kind, _, secret = connection.headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer":
        return secret.strip()
    offered: list[Any] = connection.scope.get("subprotocols", [])
    return next(
        (one.removeprefix(_SUBPROTOCOL) for one in offered if one.startswith(_SUBPROTOCOL)), ""
    )


def _kind_of(scope: Scope) -> str:
    """The path of a request's kind: those that clients make up are one."""
    return str(getattr(scope.get("route"), "path", "unknown"))


def _request_id(given: str) -> str:
    return given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex


def _name_in(host: str) -> str:
    """The name or address in the header Host, without its port; empty if it is malformed."""
    try:
        return (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:
        return ""


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _is_loopback(peer: str) -> bool:
    if not _is_address(peer):
        return False
    found = ipaddress.ip_address(peer)
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return (mapped or found).is_loopback
