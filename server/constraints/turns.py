"""Whose turn it is: places shared out among callers, so that none can keep the others waiting."""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from mods.sdk.errors import ModError


class BusyError(ModError):
    """There is too much to do at the moment; the same request may be sent again."""

    status = 503
    type = "busy"


class Turns:
    """A number of places. No caller has more than half of them; those who wait take turns.

    patience: seconds in which a place must come free.
    """

    def __init__(self, places: int, patience: float) -> None:
        self._places, self._patience = places, patience
        self._most_of_one = max(1, places // 2)
        self._taken: Counter[str] = Counter()
        self._waiting: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()

    @asynccontextmanager
    async def place(self, caller: str) -> AsyncIterator[None]:
        """Hold a place. Raises `BusyError` if none came free in time."""
        await self._enter(caller)
        try:
            yield
        finally:
            self._taken[caller] -= 1
            self._wake()

    async def _enter(self, caller: str) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(caller, deque()).append(turn)
        self._wake()
        try:
            await asyncio.wait_for(asyncio.shield(turn), self._patience)
        except BaseException as error:
            self._leave(caller, turn)
            if isinstance(error, TimeoutError):
                raise BusyError(
                    f"nothing could be started within {self._patience:.0f} s: send it again"
                ) from None
            raise

    def _leave(self, caller: str, turn: asyncio.Future[None]) -> None:
        """Give up waiting, or the place that was given in the same moment."""
        if turn.done():
            self._taken[caller] -= 1
            self._wake()
        else:
            turn.cancel()

    def _wake(self) -> None:
        """Give out what is free, one place for each caller in turn."""
        while (caller := self._next()) is not None:
            turn = self._waiting[caller].popleft()
            self._waiting.move_to_end(caller)
            if not turn.done():
                self._taken[caller] += 1
                turn.set_result(None)

    def _next(self) -> str | None:
        for caller in [caller for caller, turns in self._waiting.items() if not turns]:
            del self._waiting[caller]
        if self._taken.total() >= self._places:
            return None
        free = (one for one in self._waiting if self._taken[one] < self._most_of_one)
        return next(free, None)
