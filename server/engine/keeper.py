"""Keeps the engine running: notices that it died or is stuck, tells who waits, and restarts it.

An engine is dead when its process has ended, and taken for dead when it has answered nothing for
a while without computing. A step may be long on a slow machine: an engine that computes is given
much more time.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Protocol

from server.engine import metrics

log = logging.getLogger("concordance")

LOOK_S = 0.2
"""How often a dead engine is looked for."""
ASK_S = 1.0
"""How long after an answer the engine is asked again."""
BUSY = 0.05
"""Processor seconds a second from which on a silent engine counts as computing."""
AT_WORK = 10.0
"""How many times longer an engine may be silent that computes."""
SHORTEST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 60.0
"""Between two starts that fail; each pause is twice the last."""


class Core(Protocol):
    """What runs the model, as its keeper sees it."""

    @property
    def is_dead(self) -> bool: ...
    @property
    def is_stopped(self) -> bool: ...
    @property
    def seconds(self) -> float: ...
    async def answer(self) -> None: ...
    def fail_open(self) -> None: ...
    async def bury(self) -> None: ...
    async def revive(self) -> None: ...
    def give_up(self) -> None: ...


class EngineKeeper:
    """silence_s: how long the engine may answer nothing while it computes nothing.
    load_s: how long it took to load, and so about how long a restart takes."""

    def __init__(self, core: Core, silence_s: float, load_s: float) -> None:
        self._core, self._silence_s, self._load_s = core, silence_s, load_s
        self._task: asyncio.Task[None] | None = None
        self._since = 0.0
        self.reason: str | None = None
        """Why the engine is not there; None while it serves."""
        self.restarts = 0
        metrics.UP.set(1)

    @property
    def back_in_s(self) -> float:
        """A guess at how long until the engine is back."""
        return max(1.0, self._since + self._load_s - time.monotonic())

    async def __aenter__(self) -> EngineKeeper:
        self._task = asyncio.create_task(self._keep())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._task.cancel()
        if self.reason is not None:
            self._core.give_up()
        await asyncio.wait({self._task})

    async def _keep(self) -> None:
        while True:
            self._is_down(await self._trouble())
            await self._restore()
            self._is_up()

    async def _trouble(self) -> str:
        """Wait until something is wrong; returns what."""
        asked, used, question = time.monotonic(), 0.0, None
        try:
            while not self._core.is_dead:
                now = time.monotonic()
                if question is None and now - asked >= ASK_S:
                    asked, used = now, self._core.seconds
                    question = asyncio.create_task(self._core.answer())
                elif question is not None and question.done():
                    # An answer that is an error is an answer too.
                    question.cancelled() or question.exception()
                    asked, question = now, None
                elif question is not None and self._is_stuck(now - asked, used):
                    return f"the engine has answered nothing for {now - asked:.0f} seconds"
                await asyncio.sleep(LOOK_S)
            return "the engine's process has ended"
        finally:
            if question is not None:
                question.cancel()

    def _is_stuck(self, silent_s: float, used: float) -> bool:
        if silent_s < self._silence_s:
            return False
        computes = (self._core.seconds - used) / silent_s > BUSY and not self._core.is_stopped
        return not computes or silent_s >= self._silence_s * AT_WORK

    async def _restore(self) -> None:
        pause = SHORTEST_PAUSE_S
        while True:
            self._core.fail_open()
            try:
                await self._core.bury()
                # Whoever came in the meantime waits for an engine that is buried.
                self._core.fail_open()
                await self._core.revive()
                return
            except Exception as error:
                why = " ".join(str(error).split())[:200] or type(error).__name__
                self.reason = f"the engine does not start: {why}"
                log.error("%s; trying again in %.0f seconds", self.reason, pause)
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE_S)

    def _is_down(self, reason: str) -> None:
        self.reason, self._since = reason, time.monotonic()
        metrics.UP.set(0)
        log.error("%s: starting it again", reason)

    def _is_up(self) -> None:
        self._load_s = time.monotonic() - self._since
        self.reason = None
        self.restarts += 1
        metrics.UP.set(1)
        metrics.RESTARTS.inc()
        log.warning("the engine is back after %.1f seconds", self._load_s)
