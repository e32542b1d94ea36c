"""Places for requests that run the model: so many of one key at once, so many wait, first come
first served; and so many of everybody in the whole server."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


class QueueFullError(Exception):
    """A key has as many requests waiting as it may."""


class ServerFullError(Exception):
    """The server has as many requests as it takes."""


@dataclass
class _Line:
    """One key's requests."""

    running: int = 0
    waiting: deque[asyncio.Future[None]] = field(default_factory=deque)


class Places:
    """running, waiting: of one key. total: of everybody, running and waiting. 0 of `running` or
    `total`: as many as there are. For one event loop."""

    def __init__(self, running: int, waiting: int, total: int) -> None:
        self._running, self._waiting, self._total = running, waiting, total
        self._lines: dict[str, _Line] = {}
        self._inside = 0

    @property
    def inside(self) -> int:
        """Requests of everybody, running and waiting."""
        return self._inside

    def of(self, key: str) -> tuple[int, int]:
        """How many requests of a key run, and how many wait."""
        line = self._lines.get(key, _Line())
        return line.running, len(line.waiting)

    @asynccontextmanager
    async def place(self, key: str) -> AsyncIterator[None]:
        """Wait for a place and hold it. key: empty for one that has no limit of its own.

        Raises `QueueFullError` and `ServerFullError` instead of waiting.
        """
        if self._total and self._inside >= self._total:
            raise ServerFullError
        self._inside += 1
        try:
            if not (key and self._running):
                yield
                return
            await self._enter(key)
            try:
                yield
            finally:
                self._leave(key)
        finally:
            self._inside -= 1

    async def _enter(self, key: str) -> None:
        line = self._lines.setdefault(key, _Line())
        if line.running < self._running:
            line.running += 1
            return
        if len(line.waiting) >= self._waiting:
            raise QueueFullError
        turn = asyncio.get_running_loop().create_future()
        line.waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            # The place may have been handed over in the same moment: it goes on to the next.
            if turn.done() and not turn.cancelled():
                self._leave(key)
            else:
                line.waiting.remove(turn)
            raise

    def _leave(self, key: str) -> None:
        """Hand the place over to who waits longest, or give it up."""
        line = self._lines[key]
        while line.waiting:
            turn = line.waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        line.running -= 1
        if not line.running:
            del self._lines[key]
