"""One at a time, clients in turn, and nobody is forgotten."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from daemon.http.errors import BusyError
from daemon.http.fair_queue import FairQueue


async def settled() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


@asynccontextmanager
async def place(queue: FairQueue, client: str) -> AsyncIterator[None]:
    await queue.take(client)
    try:
        yield
    finally:
        queue.hand_on()


class Scene:
    """Clients that wait for a queue, and in which order they came."""

    def __init__(self, most_waiting: int = 8) -> None:
        self.queue = FairQueue(most_waiting)
        self.order: list[str] = []
        self.inside = 0
        self.go = asyncio.Event()

    async def visit(self, client: str) -> None:
        async with place(self.queue, client):
            self.inside += 1
            assert self.inside == 1
            self.order.append(client)
            try:
                await self.go.wait()
            finally:
                self.inside -= 1

    async def come(self, *clients: str) -> "list[asyncio.Task[None]]":
        tasks = []
        for client in clients:
            tasks.append(asyncio.create_task(self.visit(client)))
            await settled()
        return tasks


def test_a_client_that_asks_for_much_does_not_keep_others_waiting() -> None:
    async def scene() -> list[str]:
        here = Scene()
        tasks = await here.come("a", "a", "a", "a", "b", "c", "b")
        here.go.set()
        await asyncio.gather(*tasks)
        return here.order

    assert asyncio.run(scene()) == ["a", "a", "b", "c", "a", "b", "a"]


def test_too_many_are_refused_and_the_others_are_served() -> None:
    async def scene() -> list[str]:
        here = Scene(most_waiting=2)
        tasks = await here.come("a", "b", "c")
        with pytest.raises(BusyError):
            await here.visit("d")
        here.go.set()
        await asyncio.gather(*tasks)
        await here.visit("e")
        assert here.queue.waiting == 0
        return here.order

    assert asyncio.run(scene()) == ["a", "b", "c", "e"]


def test_who_leaves_while_waiting_is_passed_over() -> None:
    async def scene() -> list[str]:
        here = Scene()
        tasks = await here.come("a", "b", "c")
        tasks[1].cancel()
        await settled()
        assert here.queue.waiting == 1
        here.go.set()
        await asyncio.gather(*tasks, return_exceptions=True)
        return here.order

    assert asyncio.run(scene()) == ["a", "c"]


def test_who_leaves_as_their_turn_comes_hands_it_on() -> None:
    async def scene() -> list[str]:
        here = Scene()
        tasks = await here.come("a", "b", "c")
        here.go.set()
        tasks[0].cancel()  # its place is handed to b in the next step, and b leaves in the same
        tasks[1].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await here.visit("d")
        return here.order

    assert asyncio.run(scene()) == ["a", "c", "d"]


def test_an_error_inside_frees_the_place() -> None:
    async def scene() -> None:
        queue = FairQueue(1)
        with pytest.raises(ZeroDivisionError):
            async with place(queue, "a"):
                raise ZeroDivisionError
        async with asyncio.timeout(5), place(queue, "b"):
            pass

    asyncio.run(scene())
