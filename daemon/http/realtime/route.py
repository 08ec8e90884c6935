"""The path of the WebSocket."""

import asyncio
import json
import logging
from contextlib import suppress
from typing import Any

from fastapi import APIRouter, WebSocket
from starlette.websockets import WebSocketDisconnect, WebSocketState

from ..context import offered_by, who
from .session import Session

logger = logging.getLogger(__name__)
router = APIRouter()
MOST_SESSIONS = 8
SILENT_SECONDS = 300.0
"""Time without an event after which a session is closed."""
_WRITE_SECONDS = 30.0
"""Time in which a client has to take what is sent to it."""
_CLOSE_SECONDS = 5.0
_TRY_AGAIN, _TOO_SLOW, _SILENT = 1013, 1008, 1000


@router.websocket("/v1/realtime")
async def realtime(socket: WebSocket, intent: str = "") -> None:
    """Hold one session: events come and go as JSON."""
    offered = offered_by(socket)
    wanted = [one for one in socket.scope.get("subprotocols", []) if one == "realtime"]
    await socket.accept(wanted[0] if wanted else None)
    if offered.sessions.full or offered.running() is None:
        why = "the models are being opened" if offered.running() is None else "too many sessions"
        await socket.close(_TRY_AGAIN, why)
        return
    writing = asyncio.Lock()

    async def send(event: dict[str, Any]) -> None:
        if socket.client_state is not WebSocketState.CONNECTED:
            return
        try:
            async with writing, asyncio.timeout(_WRITE_SECONDS):
                await socket.send_text(json.dumps(event))
        except TimeoutError as error:
            raise _TooSlowError from error

    with offered.sessions.held():
        session = Session(offered, who(socket), intent == "transcription", send)
        code, why = 0, ""
        try:
            await session.open()
            while True:
                async with asyncio.timeout(SILENT_SECONDS):
                    text = await socket.receive_text()
                await session.take(_event(text))
        except _TooSlowError:
            code, why = _TOO_SLOW, "what was sent was not taken"
        except TimeoutError:
            code, why = _SILENT, "nothing was sent for a while"
        except (WebSocketDisconnect, KeyError):  # KeyError: bytes came in place of text
            logger.debug("a session has ended")
        finally:
            await session.close()
    if code:
        with suppress(TimeoutError, RuntimeError):
            async with asyncio.timeout(_CLOSE_SECONDS):
                await socket.close(code, why)


class _TooSlowError(Exception):
    """The client does not take what is sent to it."""


def _event(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
