"""What every path needs of a request."""

import asyncio
from collections.abc import AsyncGenerator, Coroutine, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from typing import Any, TypeVar

from fastapi import Request
from starlette.requests import HTTPConnection

from .errors import BusyError, RefusedError
from .offered import Offered, Running

Result = TypeVar("Result")


def offered_by(connection: HTTPConnection) -> Offered:
    """The parts of the daemon that `connection` reaches."""
    found: Offered = connection.app.state.offered
    return found


def running(offered: Offered) -> Running:
    """What there is once the models are open. Raises BusyError before."""
    found = offered.running()
    if found is None:
        raise BusyError("the daemon is starting, or ends; try again in a moment")
    return found


def who(connection: HTTPConnection) -> str:
    """By what name the client's turn is reckoned."""
    found: str = connection.state.who
    return found


async def while_there(request: Request, work: Coroutine[Any, Any, Result]) -> Result:
    """What `work` returns. It ends as soon as the client leaves, whose body was read before."""
    working = asyncio.create_task(work)
    gone = asyncio.create_task(_until_gone(request))
    try:
        await asyncio.wait({working, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise RefusedError(499, "the client has left")
        return working.result()
    finally:
        for task in (working, gone):
            task.cancel()
        await asyncio.gather(working, gone, return_exceptions=True)


@contextmanager
def place(request: Request) -> Iterator[Executor]:
    """A place among those who wait for the answer to a request of the control socket's, and the
    threads for it. Raises BusyError if all are taken."""
    offered = offered_by(request)
    if offered.commands.full:
        raise BusyError("too many requests are being answered; try again in a moment")
    with offered.commands.held():
        yield offered.command_threads


async def first_of(pieces: AsyncGenerator[Result, None]) -> Result | None:
    """The first piece, before an answer begins: what fails until then is told by its status. None
    if there is none."""
    return await anext(pieces, None)


async def _until_gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
