"""Places in the engine's batch: a session keeps its own from segment to segment.

Between two segments a session's place in the batch is free for a moment, and whoever waits in
the engine's queue takes it; the next segment would then wait until somebody else is done. So
while there are sessions, no more requests are let into the engine than it runs at once, and the
rest wait here, in the same order as they would there.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count

from server.engine import metrics

Place = tuple[int, float]
"""The order of the queue: priority (lower goes first), then time of arrival."""


class Slots:
    """Counts the requests inside the engine. limit: how many it runs at once."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._inside = 0
        self._sessions = 0
        self._waiting: list[tuple[Place, int, asyncio.Future[None]]] = []
        self._numbers = count()

    @property
    def queued(self) -> int:
        """Requests that wait here."""
        return sum(not entry.done() for _, _, entry in self._waiting)

    @asynccontextmanager
    async def plain(self, place: Place) -> AsyncIterator[None]:
        """A place for a request that stays in the engine until it is done."""
        await self._enter(place)
        try:
            yield
        finally:
            self._leave()

    @asynccontextmanager
    async def session(self, place: Place) -> AsyncIterator[Slot]:
        """A place for a session, kept until it ends or gives it away."""
        self._sessions += 1
        slot = Slot(self, place)
        try:
            await slot.take()
            yield slot
        finally:
            slot.give()
            self._sessions -= 1
            self._admit()

    async def _enter(self, place: Place) -> None:
        if not self._sessions or (self._inside < self._limit and not self._waiting):
            self._inside += 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (place, next(self._numbers), turn))
        metrics.QUEUED.set(self.queued)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._leave()
            raise

    def _leave(self) -> None:
        self._inside -= 1
        self._admit()

    def _admit(self) -> None:
        """Let in whoever is next, as far as there is room."""
        while self._waiting and (self._inside < self._limit or not self._sessions):
            _, _, turn = heapq.heappop(self._waiting)
            if not turn.done():
                self._inside += 1
                turn.set_result(None)
        metrics.QUEUED.set(self.queued)


class Slot:
    """One session's place: taken, or given away while the session waits for something else."""

    def __init__(self, slots: Slots, place: Place) -> None:
        self._slots, self._place = slots, place
        self.taken = False

    async def take(self) -> None:
        """Wait for a place, unless the session has one."""
        if not self.taken:
            await self._slots._enter(self._place)
            self.taken = True

    def give(self) -> None:
        """Let somebody else have it."""
        if self.taken:
            self.taken = False
            self._slots._leave()
