"""A request's body: read whole, up to so many bytes, whatever its header says of its length."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.types import Message, Receive
from starlette.types import Scope as Connection

from server.api.turned_away import TurnedAwayError


async def read_body(scope: Connection, receive: Receive, most: int) -> bytes | None:
    """The body; None if the client went away. most: bytes. Raises `TurnedAwayError` (413)."""
    said = Headers(scope=scope).get("content-length", "")
    if said.isdecimal() and int(said[:20]) > most:
        raise _too_large(most)
    parts, size = [], 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        part = message.get("body", b"")
        size += len(part)
        if size > most:
            raise _too_large(most)
        parts.append(part)
        if not message.get("more_body", False):
            return b"".join(parts)


def replay(body: bytes, receive: Receive) -> Receive:
    """Give the body once, then whatever comes from the client (its going away)."""
    given = False

    async def replaying() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replaying


def _too_large(most: int) -> TurnedAwayError:
    return TurnedAwayError(413, "too_large", f"a body may have {most} bytes at most")
