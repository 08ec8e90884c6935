"""A queue for what only one client can have at a time. Clients take turns: one that asks for much
does not keep the others waiting. Knows no HTTP."""

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from .errors import BusyError


class FairQueue:
    """Used in one event loop."""

    def __init__(self, most_waiting: int) -> None:
        self._most_waiting = most_waiting
        self._taken = False
        self._waiting: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()
        """Who waits, by client, in the order in which the clients' turns come."""

    @property
    def waiting(self) -> int:
        """How many wait."""
        return sum(map(len, self._waiting.values()))

    @asynccontextmanager
    async def place(self, client: str) -> AsyncIterator[None]:
        """Wait for `client`'s turn; the next one comes when the block ends. Raises BusyError if too
        many wait already."""
        if self._taken:
            await self._wait(client)
        self._taken = True
        try:
            yield
        finally:
            self._hand_on()

    async def _wait(self, client: str) -> None:
        if self.waiting >= self._most_waiting:
            raise BusyError(f"{self._most_waiting} requests wait already; try again in a moment")
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(client, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._hand_on()  # the turn came when its client had just left
            else:
                self._leave(client, turn)
            raise

    def _hand_on(self) -> None:
        while self._waiting:
            client, turns = self._waiting.popitem(last=False)
            turn = turns.popleft()
            if turns:
                self._waiting[client] = turns  # behind the others
            if not turn.done():
                turn.set_result(None)  # the place stays taken meanwhile
                return
        self._taken = False

    def _leave(self, client: str, turn: "asyncio.Future[None]") -> None:
        turns = self._waiting.get(client, deque())
        if turn in turns:
            turns.remove(turn)
        if not turns:
            self._waiting.pop(client, None)
