"""Serves Wyoming's clients on one port, in a thread with an event loop of its own."""

import asyncio
import logging
import threading
from contextlib import closing, nullcontext, suppress

from wyoming.error import Error
from wyoming.event import Event, async_write_event

from engines.errors import AttuneError

from .. import port_problem
from ..port_problem import PortProblem
from .announce import announced
from .session import Offered, Session
from .wire import MOST_HEADER_BYTES, read_event

logger = logging.getLogger(__name__)

MOST_CLIENTS = 32
SILENT_SECONDS = 300.0
"""Time without an event after which a connection is closed."""
_WRITE_SECONDS = 30.0
"""Time in which a client has to take what is sent to it."""


class WyomingServer:
    """The thread and its port."""

    def __init__(self, host: str, port: int, offered: Offered, announce: bool = False) -> None:
        """Open the port, begin to serve, and announce it if that is wanted. Where it cannot be
        opened, that is tried again and again: a network may come after the daemon."""
        self._offered = offered
        self._announce = announce
        self._clients: set[asyncio.Task[None]] = set()
        self._tried = threading.Event()
        self.problem = PortProblem("Wyoming", "wyoming.address")
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(
            target=self._run, args=(host, port), name="wyoming", daemon=True
        )
        self._thread.start()
        self._tried.wait()

    def close(self) -> None:
        """End all connections, and close the port."""
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def _run(self, host: str, port: int) -> None:
        with closing(self._loop):
            try:
                self._loop.run_until_complete(self._serve(host, port))
            finally:
                self._tried.set()

    async def _serve(self, host: str, port: int) -> None:
        while not self._stop.is_set():
            try:
                server = await asyncio.start_server(self._meet, host, port, limit=MOST_HEADER_BYTES)
            except (OSError, UnicodeError) as error:
                self.problem.note(host, port, error)
                self._tried.set()
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._stop.wait(), port_problem.RETRY_SECONDS)
                continue
            self.problem.clear()
            logger.info("serving Wyoming at %s:%d", host, port)
            self._tried.set()
            announcing = announced(host, port) if self._announce else nullcontext()
            async with server, announcing:
                await self._stop.wait()
                server.close()
                for task in self._clients:
                    task.cancel()
                await asyncio.gather(*self._clients, return_exceptions=True)

    async def _meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._clients.add(task)
        try:
            await self._talk(reader, writer)
            writer.close()
        except (OSError, TimeoutError) as error:
            logger.debug("a client of Wyoming's was left: %r", error)
        except asyncio.CancelledError:
            pass  # the daemon stops
        finally:
            self._clients.discard(task)
            if not writer.is_closing():
                writer.transport.abort()  # to close it would wait for a client that does not read

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writing = asyncio.Lock()

        async def write(event: Event) -> None:
            async with writing, asyncio.timeout(_WRITE_SECONDS):
                await async_write_event(event, writer)

        if len(self._clients) > MOST_CLIENTS:
            await write(Error(text=f"there are {MOST_CLIENTS} clients already").event())
            return
        session = Session(self._offered, write)
        try:
            while True:
                async with asyncio.timeout(SILENT_SECONDS):
                    event = await read_event(reader)
                if event is None:
                    return
                await session.take(event)
        except AttuneError as error:  # what comes next on this connection cannot be told apart
            await write(Error(text=str(error)).event())
        finally:
            session.leave()
