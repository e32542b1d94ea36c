"""Work for a client, which stops when the client goes away."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.requests import Request

from mods.sdk.errors import ModError

T = TypeVar("T")


class ClientGoneError(ModError):
    """Nobody waits for the answer any more."""

    status = 499
    type = "client_gone"


async def unless_gone(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """Do the work. The request's body must have been read. Raises `ClientGoneError`."""
    task = asyncio.create_task(work)
    gone = asyncio.create_task(_gone(request))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientGoneError("the client went away")
        return task.result()
    finally:
        task.cancel()
        gone.cancel()


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
