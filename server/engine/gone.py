"""What a request gets whose engine is gone: 503, and word that it will be back."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from http import HTTPStatus
from typing import Any

from vllm.exceptions import GracefulHTTPError
from vllm.v1.engine.exceptions import EngineDeadError

GONE = "the engine has stopped and is being started again; try again"


class EngineGoneError(GracefulHTTPError):
    """The engine ended under a request, or was not there: vLLM's layers make a 503 of it."""

    def __init__(self) -> None:
        super().__init__(GONE, HTTPStatus.SERVICE_UNAVAILABLE)


async def told_if_gone(
    engine: Any, outputs: AsyncGenerator[Any, None]
) -> AsyncGenerator[Any, None]:
    """A request's outputs. Whatever breaks while the engine is dead, is the engine's fault."""
    try:
        async with aclosing(outputs):
            async for output in outputs:
                yield output
    except Exception as error:
        if isinstance(error, EngineDeadError) or getattr(engine, "errored", False):
            # vLLM logs what is behind it, for each stream: once is enough, and done.
            raise EngineGoneError from None
        raise
