"""A queue for what only one client can have at a time. Clients take turns: one that asks for much
does not keep the others waiting. Knows no HTTP."""

import asyncio
from collections import OrderedDict, deque

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

    async def take(self, client: str) -> None:
        """Wait for `client`'s turn, which lasts until `hand_on`. Raises BusyError if too many wait
        already."""
        if self._taken:
            await self._wait(client)
        self._taken = True

    def hand_on(self) -> None:
        """End the turn that was taken; the next one comes."""
        while self._waiting:
            client, turns = self._waiting.popitem(last=False)
            turn = turns.popleft()
            if turns:
                self._waiting[client] = turns  # behind the others
            if not turn.done():
                turn.set_result(None)  # the place stays taken meanwhile
                return
        self._taken = False

    async def _wait(self, client: str) -> None:
        if self.waiting >= self._most_waiting:
            raise BusyError(f"{self._most_waiting} requests wait already; try again in a moment")
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(client, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.hand_on()  # the turn came when its client had just left
            else:
                self._leave(client, turn)
            raise

    def _leave(self, client: str, turn: "asyncio.Future[None]") -> None:
        turns = self._waiting.get(client, deque())
        if turn in turns:
            turns.remove(turn)
        if not turns:
            self._waiting.pop(client, None)
