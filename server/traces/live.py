"""What is going on now, told to whoever watches: requests that begin, their tokens, their ends.

Nothing is done while nobody watches. One who reads too slowly misses messages, and is told how
many; nobody waits for them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

MAX_WAITING = 2_000
"""Messages that wait for one watcher at most."""


class Watcher:
    """One who watches. caller: whose requests; None for everybody's."""

    def __init__(self, caller: str | None) -> None:
        self.caller = caller
        self._waiting: asyncio.Queue[dict[str, Any]] = asyncio.Queue(MAX_WAITING)
        self._missed = 0

    async def next(self) -> dict[str, Any]:
        """The next message; before it, if some were lost, one of type `missed` with a `count`."""
        if self._missed and self._waiting.empty():
            missed, self._missed = self._missed, 0
            return {"type": "missed", "count": missed}
        return await self._waiting.get()

    def tell(self, message: dict[str, Any]) -> None:
        try:
            self._waiting.put_nowait(message)
        except asyncio.QueueFull:
            self._missed += 1


class Live:
    """Everybody who watches this server. For one event loop."""

    def __init__(self) -> None:
        self._watchers: set[Watcher] = set()

    def __bool__(self) -> bool:
        return bool(self._watchers)

    @contextmanager
    def watch(self, caller: str | None = None) -> Iterator[Watcher]:
        """A watcher, who hears of what happens from here on."""
        watcher = Watcher(caller)
        self._watchers.add(watcher)
        try:
            yield watcher
        finally:
            self._watchers.discard(watcher)

    def tell(self, caller: str, message: dict[str, Any]) -> None:
        """A message about a request of this caller's."""
        for watcher in self._watchers:
            if watcher.caller in (None, caller):
                watcher.tell(message)
