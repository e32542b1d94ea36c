"""A gate with keys, before an application that says who came through."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
from starlette.types import Receive, Scope, Send

from server.api.doors import Doors
from server.api.gate import Gate
from server.api.guard import Allowed, Guard
from server.api.readiness import Readiness
from server.keys.audit import Audit
from server.keys.book import KeyBook
from server.keys.file import KeyFile
from server.keys.key import Key, new_key
from server.keys.passes import held_by
from server.limits.limiter import Limiter
from server.limits.limits import Limits

THROUGH = 299
"""The status of what came through the gate."""


class Behind:
    """Has another application's routes, and answers with who asks."""

    def __init__(self, app: Any) -> None:
        self.state, self.routes = app.state, app.routes
        self.bodies: list[bytes] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        user = held_by(scope).user
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept"})
            await send({"type": "websocket.send", "text": user})
            await send({"type": "websocket.close"})
            return
        if scope["method"] not in ("GET", "HEAD", "OPTIONS"):
            self.bodies.append((await receive())["body"])
        headers = [(b"content-type", b"text/plain")]
        await send({"type": "http.response.start", "status": THROUGH, "headers": headers})
        await send({"type": "http.response.body", "body": user.encode()})


class Keys:
    """Users of a data folder, and their secrets."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.file = KeyFile(home)
        self.secrets: dict[str, str] = {}

    def add(self, user: str, *scopes: str) -> Key:
        key, secret = new_key(user, scopes)
        self.file.add([key])
        self.secrets[user] = secret
        return key

    def headers(self, user: str) -> dict[str, str]:
        return {"authorization": f"Bearer {self.secrets[user]}"}


def gate_before(
    app: Any,
    home: Path,
    behind: Any = None,
    *,
    limits: Limits | None = None,
    operators: Sequence[str] = (),
    open_here: bool = True,
    origins: Sequence[str] = (),
    readiness: Readiness | None = None,
) -> Gate:
    """A gate with the keys of this folder. behind: instead of one that says who asks."""
    limits = Limits() if limits is None else limits
    limiter = Limiter(limits)
    book = KeyBook(KeyFile(home), operators)
    app.state.concordance_keys, app.state.concordance_limiter = book, limiter
    return Gate(
        behind or Behind(app),
        Doors(app),
        book,
        limiter,
        Guard(limits, Allowed(500)),
        Audit(home),
        open_here=open_here,
        origins=origins,
        readiness=readiness,
    )


@asynccontextmanager
async def client_of(gate: Any, host: str = "127.0.0.1") -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(gate)
    async with httpx.AsyncClient(transport=transport, base_url=f"http://{host}") as client:
        yield client
