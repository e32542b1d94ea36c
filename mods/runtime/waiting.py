"""Handlers that wait: how a call of a machine goes on when a handler is a coroutine.

A machine's calls are coroutines all the way down to the handler. Where no handler waits, a call
runs from its beginning to its end at once, and there is no event loop anywhere. Where one does,
whoever drives the machine carries the call on as a task, and other sessions run between its steps.
At every moment at most one step of one handler runs.
"""

from __future__ import annotations

import asyncio
import atexit
import inspect
import math
import threading
from collections.abc import Callable, Coroutine, Generator
from contextlib import suppress
from time import perf_counter
from typing import Any, TypeVar

T = TypeVar("T")

MAX_DEADLINE = 300.0
"""Seconds that a mod may declare as its deadline; more counts as this."""
MAX_REFUSALS = 100
"""How often a handler is told that it cannot wait here, before it is given up."""


class DeadlineMissedError(Exception):
    """A handler waited longer than it may: told to whoever called it."""


def may_wait(handler: object) -> bool:
    """Whether a handler is an `async def`, as `@mod` leaves it."""
    return inspect.iscoroutinefunction(handler)


def at_once(call: Coroutine[Any, Any, T]) -> T:
    """The result of a call in which nobody waits: a handler that tries to is told it cannot."""
    try:
        call.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    refusal = RuntimeError("a handler that awaits is declared with `async def`")
    for _ in range(MAX_REFUSALS):
        try:
            call.throw(refusal)
        except StopIteration as done:
            return done.value  # type: ignore[no-any-return]
    raise refusal


def wait_here(call: Coroutine[Any, Any, T]) -> T:
    """The result of a call; where a handler waits, so does the calling thread.

    For engines that have nothing else to do meanwhile. All calls of a thread share a loop, so
    that what one handler waits for another one can bring about.
    """
    loop = _loops.get(threading.get_ident())
    if loop is None:
        loop = _loops[threading.get_ident()] = asyncio.new_event_loop()
    return loop.run_until_complete(call)


_loops: dict[int, asyncio.AbstractEventLoop] = {}


@atexit.register
def _close_loops() -> None:
    for loop in _loops.values():
        loop.close()


class Steps:
    """A handler's coroutine, awaited so that others are told when its own code runs.

    begins, ends: called around every step but for the first beginning and the last end, which
    are the caller's. seconds: how long the whole call may take, from now on. A handler that
    misses that is cancelled; if it goes on waiting all the same, it is dropped. Either way
    `DeadlineMissedError` is raised.
    """

    def __init__(
        self,
        coroutine: Coroutine[Any, Any, object],
        begins: Callable[[], None],
        ends: Callable[[], None],
        seconds: float = math.inf,
    ) -> None:
        self._coroutine = coroutine
        self._begins, self._ends = begins, ends
        self._deadline = _Deadline(seconds)

    def __await__(self) -> Generator[Any, Any, object]:
        try:
            return (yield from self._steps())
        except BaseException as error:
            if self._deadline.missed and not isinstance(error, DeadlineMissedError):
                raise DeadlineMissedError from error
            raise
        finally:
            self._deadline.stop()

    def _steps(self) -> Generator[Any, Any, object]:
        coroutine = self._coroutine
        step: Callable[[Any], Any] = coroutine.send
        value: Any = None
        while True:
            try:
                awaited = step(value)
            except StopIteration as done:
                if self._deadline.missed:
                    raise DeadlineMissedError from None
                return done.value
            if self._deadline.missed:
                with suppress(BaseException):
                    coroutine.close()
                raise DeadlineMissedError
            self._deadline.start()
            self._ends()
            try:
                value = yield awaited
                step = coroutine.send
            except GeneratorExit:
                coroutine.close()
                raise
            except BaseException as error:
                value, step = error, coroutine.throw
            finally:
                self._begins()


class _Deadline:
    """Cancels the task that waits when the time is over. Counts from when it was made."""

    def __init__(self, seconds: float) -> None:
        self._over = perf_counter() + seconds
        self._task: asyncio.Task[Any] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self.missed = False

    def start(self) -> None:
        """The handler begins to wait: from here on time can run out without its doing."""
        if self._timer is not None or self._over == math.inf:
            return
        with suppress(RuntimeError):  # no loop: then nobody can wait here for long
            self._task = asyncio.current_task()
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self._over - perf_counter(), self._miss)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self.missed and self._task is not None:
            self._task.uncancel()

    def _miss(self) -> None:
        self.missed = True
        if self._task is not None:
            self._task.cancel()
