"""Whether the engine lives and moves: asked, not assumed."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from vllm.v1.engine.exceptions import EngineDeadError


class Health:
    """Asks the engine core a question that it answers between two steps.

    A core that is dead says so at once; one that is stuck does not answer in time. Callers
    share one question at a time, so that probes never pile up.
    """

    def __init__(self, engine: Any, timeout: float) -> None:
        self._engine = engine
        self._timeout = timeout
        self._question: asyncio.Task[Any] | None = None
        self._asked = 0.0

    async def check(self) -> None:
        """Raise `EngineDeadError` if the engine is dead, or silent for the timeout (seconds)."""
        await self._engine.check_health()
        if self._question is None or self._question.done():
            self._question = asyncio.create_task(self._engine.is_sleeping())
            self._asked = time.monotonic()
        left = self._asked + self._timeout - time.monotonic()
        done, _ = await asyncio.wait({self._question}, timeout=max(0.0, left))
        if not done:
            raise EngineDeadError(f"no answer from the engine for {self._timeout:g} seconds")
        error = self._question.exception()
        if error is not None:
            raise EngineDeadError(str(error)) from error
