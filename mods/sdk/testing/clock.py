"""An event loop whose time passes at once: a mod that waits a second is tested in no time.

Nothing outside answers a test, so when every handler waits, the next thing to happen is the next
timer, and the clock is set to it. Where there is no timer either, nothing would ever happen; the
hard deadline is a timer, so a handler that waits in vain fails as it does in a server.
"""

from __future__ import annotations

import asyncio
import atexit
import selectors
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

T = TypeVar("T")

HARD_DEADLINE = 1.0
"""Seconds that one handler call may take, as in a server with its default settings."""


class _Impatient(selectors.DefaultSelector):
    """Waits for nothing: the time that was to be waited is added to the clock."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready and timeout is not None:
            self.now += max(0.0, timeout)
        elif not ready:
            ready = super().select(HARD_DEADLINE)  # a thread may still wake the loop
        return ready


class Clock:
    """One loop for all tests of a thread, so that what a module keeps fits it."""

    def __init__(self) -> None:
        self._selector = selector = _Impatient()
        self._loop = asyncio.SelectorEventLoop(selector)
        self._loop.time = lambda: selector.now  # type: ignore[method-assign]

    def begin(self, call: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Start a call, and let it run as far as it comes without waiting."""
        task = self._loop.create_task(call)
        self.turn()
        return task

    def turn(self, seconds: float = 0.0) -> None:
        """Let this time pass, and everybody who can go on do one step."""
        self._selector.now += seconds
        with _alone():
            self._loop.call_soon(self._loop.stop)
            self._loop.run_forever()

    def run(self, call: Coroutine[Any, Any, T] | asyncio.Task[T]) -> T:
        """The result of a call, however long it waits."""
        with _alone():
            return self._loop.run_until_complete(call)

    def close(self) -> None:
        """Give up whatever still waits."""
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self.turn()
        self._loop.close()


def clock() -> Clock:
    """The calling thread's."""
    made = _clocks.get(threading.get_ident())
    if made is None:
        made = _clocks[threading.get_ident()] = Clock()
    return made


class ClockWatch:
    """Nobody looks, but a deadline holds."""

    deadline = HARD_DEADLINE

    def call_begins(self, seat: int) -> None:
        pass

    def call_ends(self) -> None:
        pass


_clocks: dict[int, Clock] = {}


@contextmanager
def _alone() -> Iterator[None]:
    """As if no other loop ran in this thread: a test may itself be a coroutine."""
    outer = asyncio._get_running_loop()
    asyncio._set_running_loop(None)
    try:
        yield
    finally:
        asyncio._set_running_loop(outer)


@atexit.register
def _close_all() -> None:
    for made in _clocks.values():
        made.close()
