"""Runs the application in a thread with an event loop of its own."""

import asyncio
import logging
import socket
import threading
from contextlib import closing
from typing import Any

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from .. import port_problem
from ..port_problem import PortProblem

logger = logging.getLogger(__name__)

MOST_CONNECTIONS = 64
_HEADERS_SECONDS = 15.0
"""Time in which a client has to send a request once it has connected, or got an answer; twice that
at most."""
_IDLE_SECONDS = 30.0
_TAKE_SECONDS = 60.0
"""Time in which a client has to take something of its answer."""
_FAREWELL_SECONDS = 1
_MOST_FRAME_BYTES = 4_000_000


class HttpServer:
    """The thread and its port."""

    def __init__(self, host: str, port: int, app: FastAPI) -> None:
        """Open the port and begin to serve. Where it cannot be opened, that is tried again and
        again: a network may come after the daemon."""
        self._app = app
        self._host, self._port = host, port
        self._server: uvicorn.Server | None = None
        self._stopping = threading.Event()
        self._tried = threading.Event()
        self.problem = PortProblem("HTTP", "http.address")
        self._thread = threading.Thread(target=self._run, name="http", daemon=True)
        self._thread.start()
        self._tried.wait()

    def close(self) -> None:
        """End all connections, and close the port."""
        self._stopping.set()
        if self._server is not None:
            self._server.should_exit = True
        self._thread.join()

    def _run(self) -> None:
        try:
            while not self._stopping.is_set():
                listener = self._open()
                if listener is None:
                    self._stopping.wait(port_problem.RETRY_SECONDS)
                    continue
                with closing(listener):
                    self._serve(listener)
        finally:
            self._tried.set()

    def _open(self) -> socket.socket | None:
        try:
            family, _, _, _, address = socket.getaddrinfo(
                self._host, self._port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )[0]
            listener = socket.socket(family, socket.SOCK_STREAM)
            try:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                listener.bind(address)
                listener.listen(MOST_CONNECTIONS)
            except OSError:
                listener.close()
                raise
        except (OSError, UnicodeError) as error:
            self.problem.note(self._host, self._port, error)
            self._tried.set()
            return None
        return listener

    def _serve(self, listener: socket.socket) -> None:
        config = uvicorn.Config(
            self._app,
            http=_Impatient,
            ws="websockets-sansio",
            ws_max_size=_MOST_FRAME_BYTES,
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,  # who sends them could claim to be on this machine
            limit_concurrency=MOST_CONNECTIONS,
            timeout_keep_alive=round(_IDLE_SECONDS),
            timeout_graceful_shutdown=_FAREWELL_SECONDS,
        )
        self._server = uvicorn.Server(config)
        if self._stopping.is_set():
            return
        self.problem.clear()
        logger.info("serving HTTP at %s:%d", self._host, self._port)
        self._tried.set()
        asyncio.run(self._server.serve([listener]))


class _Impatient(H11Protocol):
    """Leaves a client that has connected and sends no request, or takes nothing of its answer."""

    _leaves: asyncio.TimerHandle | None = None
    _stops: asyncio.TimerHandle | None = None
    _idle_after: object = ()
    """The request after which nothing was to do when that was looked at last; None before the first
    one, and () where there was something."""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._leaves = self.loop.call_later(_HEADERS_SECONDS, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        for timer in (self._leaves, self._stops):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stops = self.loop.call_later(_TAKE_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        if self._stops is not None:
            self._stops.cancel()
        super().resume_writing()

    def _look(self) -> None:
        """Leave a client that has asked for nothing since this was called last."""
        if self.transport.get_protocol() is not self:  # it is a WebSocket by now
            return
        cycle: Any = self.cycle
        idle_after = cycle if cycle is None or cycle.response_complete else ()
        if idle_after == () or idle_after is not self._idle_after:
            self._idle_after = idle_after
            self._leaves = self.loop.call_later(_HEADERS_SECONDS, self._look)
        else:
            self.transport.abort()
