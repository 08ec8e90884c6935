"""Reaches MCP servers: starts their programs or opens their addresses, lists their tools, and calls
those that are allowed.

The protocol is described at https://modelcontextprotocol.io. All of it runs in one thread, and its
package is imported there, for it takes memory.
"""

import asyncio
import contextlib
import logging
import os
import threading
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from concurrent.futures import CancelledError, Future
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from engines.errors import AttuneError
from engines.interfaces import Step, unwatched

from .servers_file import McpServer
from .tool import Call, Tool

if TYPE_CHECKING:
    from mcp import Client

logger = logging.getLogger(__name__)

CONNECT_SECONDS = 30.0
"""A program may have to be fetched before it starts."""
CALL_SECONDS = 8.0
LOOK_EVERY_SECONDS = 60.0
"""How often a server is asked for its tools anew."""
_AGAIN_SECONDS = (5.0, 30.0, 300.0)
"""When a server that cannot be reached is tried again."""
_STEP_SECONDS, _STOP_SECONDS = 0.1, 10.0
_MOST_TOOLS = 128
MOST_RESULT_CHARACTERS = 2000


@dataclass
class _Reached:
    """What is known of one server."""

    tools: tuple[Tool, ...] = ()
    problem: str = "it was not reached yet"
    client: "Client | None" = None
    look_again: asyncio.Event = field(default_factory=asyncio.Event)


class McpServers:
    """The MCP servers of a file. Its calls may come from any thread."""

    def __init__(
        self,
        servers: Mapping[str, McpServer],
        look_every_seconds: float = LOOK_EVERY_SECONDS,
        complaints: TextIO | None = None,
    ) -> None:
        """`complaints` takes what the programs write to their standard error; None lets nobody read
        it, for it may hold what the user said."""
        self._servers = servers
        self._look_every_seconds = look_every_seconds
        self._complaints = complaints
        self._reached = {name: _Reached() for name in servers}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping = asyncio.Event()
        self._looked = threading.Event()
        self._thread = threading.Thread(target=self._run, name="mcp-servers", daemon=True)

    def start(self) -> None:
        """Begin to reach the servers. Returns at once."""
        self._loop = asyncio.new_event_loop()
        self._thread.start()

    def stop(self) -> None:
        """Leave the servers; the programs are ended."""
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # it has ended already
                self._loop.call_soon_threadsafe(self._stopping.set)
            self._thread.join(_STOP_SECONDS)

    def wait(self, seconds: float) -> None:
        """Wait until each server was tried once."""
        self._looked.wait(seconds)

    @property
    def offered(self) -> list[Tool]:
        """Every tool of every server that is reached, allowed or not."""
        return [tool for reached in self._reached.values() for tool in reached.tools]

    @property
    def allowed(self) -> list[Tool]:
        """The tools that may be called; of several with one name the first."""
        found: dict[str, Tool] = {}
        for tool in self.offered:
            if tool.name in self._servers[tool.server].allow:
                found.setdefault(tool.name, tool)
        return list(found.values())

    @property
    def problems(self) -> dict[str, str]:
        """Why servers cannot be reached, or do not have what is allowed of them, by their names."""
        found = {}
        for name, reached in self._reached.items():
            missing = set(self._servers[name].allow) - {tool.name for tool in reached.tools}
            if reached.problem:
                found[name] = reached.problem
            elif missing:
                found[name] = f"it has no tool {sorted(missing)[0]!r}, which is allowed"
        return found

    def call(self, call: Call, step: Step = unwatched, seconds: float = CALL_SECONDS) -> str:
        """Call a tool and return what it answers, as one line of text. `step` is called now and
        then; an exception that it raises ends the wait. Raises AttuneError, in a sentence that can
        be said, if the call fails, takes longer than `seconds`, or is not allowed."""
        tool = call.tool
        if tool.name not in self._servers[tool.server].allow:
            raise AttuneError(f"{tool.for_people} is not allowed.")
        if self._loop is None or self._loop.is_closed():
            raise AttuneError(f"{tool.server} cannot be reached.")
        found: Future[str] = asyncio.run_coroutine_threadsafe(self._call(call, seconds), self._loop)
        until = time.monotonic() + seconds + 1
        try:
            while True:
                step()
                try:
                    return found.result(_STEP_SECONDS)
                except (TimeoutError, CancelledError) as error:
                    if found.cancelled() or time.monotonic() >= until:
                        raise AttuneError(f"{tool.server} does not answer.") from error
        finally:
            found.cancel()

    async def _call(self, call: Call, seconds: float) -> str:
        from mcp import MCPError

        reached = self._reached[call.tool.server]
        if reached.client is None:
            raise AttuneError(f"{call.tool.server} cannot be reached.")
        try:
            async with asyncio.timeout(seconds):
                result = await reached.client.call_tool(call.tool.name, dict(call.arguments))
        except TimeoutError as error:
            raise AttuneError(f"{call.tool.server} does not answer.") from error
        except (MCPError, OSError, RuntimeError, ValueError) as error:
            logger.warning("%s failed: %s", call.tool.name, type(error).__name__)
            reached.look_again.set()
            raise AttuneError(f"{call.tool.server} could not do that.") from error
        text = _one_line(result.content)
        if result.is_error:
            raise AttuneError(f"{call.tool.server} says: {text[:200]}")
        return text

    def _run(self) -> None:
        assert self._loop is not None
        try:
            self._loop.run_until_complete(self._serve_all())
        except Exception:
            logger.exception("the MCP servers are left")
        finally:
            self._looked.set()
            self._loop.close()

    async def _serve_all(self) -> None:
        tried = [asyncio.Event() for _ in self._servers]
        serving = [
            asyncio.create_task(self._serve(name, event))
            for name, event in zip(self._servers, tried, strict=True)
        ]
        looking = asyncio.create_task(self._look(tried))
        await self._stopping.wait()
        for task in (looking, *serving):
            task.cancel()
        await asyncio.gather(looking, *serving, return_exceptions=True)

    async def _look(self, tried: Sequence[asyncio.Event]) -> None:
        for event in tried:
            await event.wait()
        self._looked.set()

    async def _serve(self, name: str, tried: asyncio.Event) -> None:
        """Keep one server reached."""
        reached, failures = self._reached[name], 0
        while True:
            try:
                async with self._client(self._servers[name]) as client:
                    reached.client = client
                    while True:
                        async with asyncio.timeout(CONNECT_SECONDS):
                            reached.tools = await _listed(name, self._servers[name], client)
                        if reached.problem:
                            logger.info("%s: %d tools", name, len(reached.tools))
                        reached.problem, failures = "", 0
                        tried.set()
                        with contextlib.suppress(TimeoutError):
                            async with asyncio.timeout(self._look_every_seconds):
                                await reached.look_again.wait()
                        reached.look_again.clear()
            except asyncio.CancelledError:
                raise
            except Exception as error:  # noqa: BLE001 -- whatever a server causes, it is tried again
                problem = _problem(error)
                if problem != reached.problem:
                    logger.info("the MCP server %s cannot be reached: %s", name, problem)
                reached.problem = problem
            reached.client, reached.tools = None, ()
            tried.set()
            await asyncio.sleep(_AGAIN_SECONDS[min(failures, len(_AGAIN_SECONDS) - 1)])
            failures += 1

    @asynccontextmanager
    async def _client(self, server: McpServer) -> AsyncIterator["Client"]:
        """Open the connection to a server."""
        import httpx2
        from mcp import Client, StdioServerParameters
        from mcp.client.stdio import stdio_client
        from mcp.client.streamable_http import streamable_http_client

        # It logs what a program writes, which may be what the user said.
        logging.getLogger("mcp").setLevel(logging.CRITICAL)

        async with contextlib.AsyncExitStack() as stack:
            transport: Any
            if server.command:
                complaints = self._complaints
                if complaints is None:
                    complaints = stack.enter_context(Path(os.devnull).open("w"))  # noqa: SIM115 -- the stack closes it
                started = StdioServerParameters(
                    command=server.command, args=server.args, env=server.env
                )
                transport = stdio_client(started, complaints)
            else:
                http = httpx2.AsyncClient(headers=server.headers, timeout=CONNECT_SECONDS)
                await stack.enter_async_context(http)
                transport = streamable_http_client(server.url, http_client=http)
            client = Client(transport, cache=None, read_timeout_seconds=CONNECT_SECONDS)
            async with asyncio.timeout(CONNECT_SECONDS):
                await stack.enter_async_context(client)
            yield client


async def _listed(name: str, server: McpServer, client: "Client") -> tuple[Tool, ...]:
    """The tools of a server."""
    found: list[Tool] = []
    cursor = None
    while len(found) < _MOST_TOOLS:
        page = await client.list_tools(cursor=cursor)
        for one in page.tools:
            hints = one.annotations
            title = one.title or (hints.title if hints is not None else None)
            harmless = hints is not None and hints.read_only_hint is True
            found.append(
                Tool(
                    server=name,
                    name=one.name,
                    description=" ".join((one.description or "").split()),
                    schema=one.input_schema,
                    title=" ".join((title or "").split()),
                    asks_first=not harmless and one.name not in server.without_asking,
                )
            )
        cursor = page.next_cursor
        if cursor is None:
            break
    return tuple(found[:_MOST_TOOLS])


def _one_line(content: Sequence[Any]) -> str:
    """The texts in what a tool answers, on one line."""
    texts = [one.text for one in content if isinstance(getattr(one, "text", None), str)]
    return " ".join(" ".join(texts).split())[:MOST_RESULT_CHARACTERS]


def _problem(error: BaseException) -> str:
    """What went wrong, for people, without what was sent."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, TimeoutError):
        return "it does not answer"
    if isinstance(error, FileNotFoundError):
        return f"there is no program {error.filename}"
    return (getattr(error, "strerror", None) or " ".join(str(error).split()) or repr(error))[:200]
