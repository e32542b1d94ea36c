"""Cuts off a client that does not read: what waits for it is bounded, and so is the wait.

The web server holds at most 64 KiB for a connection; then `send` waits, and the request's output
gathers in the engine's front end, at most as long as its answer. A client that lets it wait too
long loses its connection, and its request is aborted like any whose client went away.
"""

from __future__ import annotations

import asyncio
import logging

from starlette.types import Message, Send

from server.engine.metrics import CUT_OFF

log = logging.getLogger("concordance")


def with_patience(send: Send, seconds: float) -> Send:
    """The client's `send`, which waits so long at most. Where there is no connection, the same."""
    connection = getattr(send, "__self__", None)
    transport, flow = getattr(connection, "transport", None), getattr(connection, "flow", None)
    if transport is None or flow is None:
        return send

    def cut_off() -> None:
        CUT_OFF.inc()
        log.warning("a client has read nothing for %g seconds: it is cut off", seconds)
        # Closing would wait for it to read what is there.
        transport.abort()

    async def send_in_time(message: Message) -> None:
        timer = asyncio.get_running_loop().call_later(seconds, cut_off)
        try:
            await send(message)
        finally:
            timer.cancel()

    # A timer for each token would be a cost; only a connection that is full makes anybody wait.
    return lambda message: send_in_time(message) if flow.write_paused else send(message)
