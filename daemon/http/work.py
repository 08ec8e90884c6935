"""Does what takes a while for clients of HTTP: in threads, one at a time, and no longer than the
client stays."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Generator
from concurrent.futures import Executor
from contextlib import aclosing, closing
from dataclasses import dataclass
from typing import Generic, TypeVar

from ..attention import Attention
from ..clients import Client
from .fair_queue import FairQueue

MOST_WAITING = 16
Result = TypeVar("Result")


@dataclass(frozen=True)
class _Ended:
    error: BaseException | None


async def produced(
    threads: Executor,
    work: Callable[[Client], Generator[Result, None, None]],
    ended: Callable[[], None] = lambda: None,
) -> AsyncGenerator[Result, None]:
    """Yield what `work` yields in a thread. Closing the generator tells `work` by its `Client` that
    nobody waits any more, and waits for it. `ended` is called in the event loop when `work` has
    ended, whether or not everything was taken. Raises whatever `work` raises."""
    loop, client = asyncio.get_running_loop(), Client()
    results: asyncio.Queue[Result | _Ended] = asyncio.Queue()

    def tell(one: Result | _Ended) -> None:
        loop.call_soon_threadsafe(results.put_nowait, one)

    def run() -> None:
        error: BaseException | None = None
        try:
            with closing(work(client)) as several:
                for one in several:
                    tell(one)
        except BaseException as raised:  # noqa: BLE001 - it is raised where it is waited for
            error = raised
        tell(_Ended(error))
        loop.call_soon_threadsafe(ended)

    running = loop.run_in_executor(threads, run)
    try:
        while not isinstance(one := await results.get(), _Ended):
            yield one
        if one.error is not None:
            raise one.error
    finally:
        client.leave()
        await asyncio.shield(running)


class Work(Generic[Result]):
    """What is done one at a time, such as all that needs the language model."""

    def __init__(self, threads: Executor, attention: Attention) -> None:
        self._threads = threads
        self._attention = attention
        self.queue = FairQueue(MOST_WAITING)

    async def stream(
        self, who: str, work: Callable[[Client], Generator[Result, None, None]]
    ) -> AsyncGenerator[Result, None]:
        """Yield what `work` yields, once the turn of `who` has come; see `produced`. Raises
        BusyError if too many wait."""

        def attended(client: Client) -> Generator[Result, None, None]:
            self._attention.begin()
            try:
                yield from work(client)
            finally:
                self._attention.end()

        await self.queue.take(who)
        # The next turn comes when the work is done: a client may take its time to read.
        results = produced(self._threads, attended, self.queue.hand_on)
        async with aclosing(results):
            async for one in results:
                yield one

    async def one(self, who: str, work: Callable[[Client], Result]) -> Result:
        """What `work` returns; see `stream`."""

        def once(client: Client) -> Generator[Result, None, None]:
            yield work(client)

        async with aclosing(self.stream(who, once)) as results:
            async for result in results:
                return result
        raise AssertionError("the work has one result")
