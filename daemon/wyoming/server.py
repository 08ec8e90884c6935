"""Serves Wyoming's clients on one port, in a thread with an event loop of its own."""

import asyncio
import logging
import threading
from contextlib import closing, suppress

from wyoming.error import Error
from wyoming.event import Event, async_write_event

from engines.errors import AttuneError

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

    def __init__(self, host: str, port: int, offered: Offered) -> None:
        """Open the port and begin to serve. Raises AttuneError if it cannot be opened."""
        self._offered = offered
        self._clients: set[asyncio.Task[None]] = set()
        self._ready = threading.Event()
        self._problem = ""
        self._loop = asyncio.new_event_loop()
        self.port = port
        """The port that is served; another than the one that was given if that is 0."""
        self._stop = asyncio.Event()
        self._thread = threading.Thread(
            target=self._run, args=(host, port), name="wyoming", daemon=True
        )
        self._thread.start()
        self._ready.wait()
        if self._problem:
            self._thread.join()
            raise AttuneError(
                f"Wyoming cannot be served at {host}:{port} ({self._problem}); set"
                " wyoming.address to another"
            )
        logger.info("serving Wyoming at %s:%d", host, self.port)

    def close(self) -> None:
        """End all connections, and close the port."""
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def _run(self, host: str, port: int) -> None:
        with closing(self._loop):
            self._loop.run_until_complete(self._serve(host, port))

    async def _serve(self, host: str, port: int) -> None:
        try:
            server = await asyncio.start_server(self._meet, host, port, limit=MOST_HEADER_BYTES)
        except OSError as error:
            self._problem = error.strerror or str(error)
            self._ready.set()
            return
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        async with server:
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
        except (OSError, TimeoutError) as error:
            logger.debug("a client of Wyoming's was left: %r", error)
        except asyncio.CancelledError:
            pass  # the daemon stops
        finally:
            self._clients.discard(task)
            writer.close()

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
            with suppress(OSError, TimeoutError):
                await write(Error(text=str(error)).event())
        finally:
            session.leave()
