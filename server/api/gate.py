"""The gate, in front of everything: who comes in, with how much, and what is written down of it.

A request is let in by its key (or because the server is open), for the routes that the key's scopes
reach. Its body is read up to a limit, its rates are charged, and what runs the model is checked and
waits for a place. Whatever is not plainly allowed is turned away.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Collection
from typing import Any

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Send
from starlette.types import Scope as Connection

from server.api.body import read_body, replay
from server.api.credentials import CHALLENGE, secret_in
from server.api.doors import Doors, Needed
from server.api.guard import Guard, RefusedBodyError
from server.api.nearby import is_nearby
from server.api.readiness import Readiness
from server.api.safe_headers import with_safe_headers
from server.api.slow_reader import with_patience
from server.api.turned_away import TurnedAwayError
from server.keys.audit import Audit
from server.keys.book import KeyBook
from server.keys.passes import NOBODY, OPEN, Pass, hand_on
from server.limits.limiter import Limiter

_READS = ("GET", "HEAD", "OPTIONS")
_AUDITED: Needed = frozenset(("admin", "mods"))
"""What is written down: what somebody with a key did, or was refused, behind routes that need one
of these. Strangers without a key write nothing: they could fill the disk."""


class Gate:
    """An ASGI application around the way in, whose state and routes it shows as its own.

    open_here: whether the server may be open while there are no keys: it listens on loopback only.
    origins: pages of other sites that may use the server from a browser; `*` for all.
    readiness: whether what runs the model is taken now. slow_reader_s: after how long a client is
    cut off that does not read.
    """

    def __init__(
        self,
        entrance: Any,
        doors: Doors,
        book: KeyBook,
        limiter: Limiter,
        guard: Guard,
        audit: Audit,
        *,
        open_here: bool,
        origins: Collection[str] = (),
        readiness: Readiness | None = None,
        slow_reader_s: float = 30.0,
    ) -> None:
        self._entrance: ASGIApp = entrance
        self.state, self.routes = entrance.state, entrance.routes
        self._doors, self._book, self._limiter = doors, book, limiter
        self._guard, self._audit = guard, audit
        self._open_here, self._origins = open_here, origins
        self._readiness = readiness or Readiness()
        self._slow_reader_s = slow_reader_s

    async def __call__(self, scope: Connection, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._entrance(scope, receive, send)
            return
        if scope["type"] == "http":
            send = with_safe_headers(scope, with_patience(send, self._slow_reader_s))
        visit = _Visit(scope, send, self._readiness)
        try:
            await self._visit(visit, receive)
        except TurnedAwayError as refusal:
            if not visit.status:
                visit.refusal = refusal.type
                await refusal.answer(scope, receive, visit.send)
        finally:
            if visit.is_remarkable:
                self._audit.write("request", **visit.told())

    async def _visit(self, visit: _Visit, receive: Receive) -> None:
        visit.needed = self._doors.needed(visit.scope["path"])
        visit.held = held = self._let_in(visit)
        scope = hand_on(visit.scope, held)
        if scope["type"] == "websocket":
            self._limiter.arrive(held.key)
            await self._entrance(scope, receive, visit.send)
            return
        if held is not NOBODY:
            self._limiter.arrive(held.key)
        if scope["method"] in _READS:
            await self._entrance(scope, receive, visit.send)
            return
        body = await read_body(scope, receive, self._limiter.limits.max_body_bytes)
        if body is None:
            return
        visit.body = body
        if not (visit.needed and "infer" in visit.needed):
            await self._entrance(scope, replay(body, receive), visit.send)
            return
        self._check(body)
        self._readiness.check()
        async with self._limiter.run(held.key):
            await self._entrance(scope, replay(body, receive), visit.send)

    def _let_in(self, visit: _Visit) -> Pass:
        """What the request may do. Raises `TurnedAwayError` (401 or 403)."""
        if visit.needed is None or (self._origins and _is_preflight(visit)):
            return NOBODY
        headers = Headers(scope=visit.scope)
        held = self._known(headers, visit.scope["path"])
        visit.held = held
        if not held.allows(visit.needed):
            missing = ", ".join(sorted(visit.needed - held.scopes))
            raise TurnedAwayError(
                403, "forbidden", f"this key may not do that: it lacks the scope {missing}"
            )
        return held

    def _known(self, headers: Headers, path: str) -> Pass:
        """Who it is. Raises `TurnedAwayError`."""
        if self._book.any:
            secret = secret_in(headers)
            held = self._book.check(secret) if secret else None
            if held is None:
                raise TurnedAwayError(
                    401,
                    "unauthorized",
                    "a valid API key is needed",
                    challenge=CHALLENGE if self._doors.is_page(path) else "Bearer",
                )
            return held
        if not self._open_here:
            raise TurnedAwayError(401, "unauthorized", "this server has no keys yet")
        if not is_nearby(headers, self._origins):
            raise TurnedAwayError(
                403,
                "forbidden",
                "a server without keys answers to this machine only: ask for 127.0.0.1 or"
                " localhost, or make a key",
            )
        return OPEN

    def _check(self, body: bytes) -> None:
        """Raises `TurnedAwayError` for what vLLM must not see."""
        try:
            self._guard.check(json.loads(body))
        except RefusedBodyError as error:
            raise TurnedAwayError(400, "BadRequestError", str(error), error.param) from None
        except RecursionError:
            raise TurnedAwayError(400, "BadRequestError", "the body is nested too deeply") from None
        except ValueError:
            return  # No JSON: whoever the route belongs to says so.


class _Visit:
    """One request at the gate: what came of it, for the audit."""

    def __init__(self, scope: Connection, send: Send, readiness: Readiness) -> None:
        self.scope, self._readiness = scope, readiness
        self.needed: Needed | None = frozenset()
        self.held: Pass = NOBODY
        self.body = b""
        self.status = 0
        self.refusal = ""
        self._send = send

    async def send(self, message: Message) -> None:
        """The client's, which remembers the status."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            if self.status == 503:
                message = self._with_retry_after(message)
        elif message["type"] == "websocket.accept":
            self.status = 101
        await self._send(message)

    def _with_retry_after(self, message: Message) -> Message:
        """An engine that went away under a request says nothing of when it is back."""
        if any(name.lower() == b"retry-after" for name, _ in message["headers"]):
            return message
        wait = math.ceil(self._readiness.back_in_s)
        return {**message, "headers": [*message["headers"], (b"retry-after", b"%d" % wait)]}

    @property
    def is_remarkable(self) -> bool:
        """Whether it belongs into the audit log."""
        if self.held is NOBODY or not self.needed or not self.needed & _AUDITED:
            return False
        return "admin" in self.needed or self.scope.get("method") not in _READS

    def told(self) -> dict[str, Any]:
        client = self.scope.get("client")
        told: dict[str, Any] = {
            "user": self.held.user,
            "key": self.held.key,
            "method": self.scope.get("method", "WEBSOCKET"),
            "path": self.scope["path"][:200],
            "status": self.status,
            "client": client[0] if client else "",
        }
        if self.body:
            told["bytes"] = len(self.body)
            told["sha256"] = hashlib.sha256(self.body).hexdigest()
        return {**told, "refused": self.refusal} if self.refusal else told


def _is_preflight(visit: _Visit) -> bool:
    """The CORS layer answers these by itself; nothing behind it sees them."""
    names = {name for name, _ in visit.scope["headers"]}
    asks = {b"origin", b"access-control-request-method"} <= names
    return visit.scope.get("method") == "OPTIONS" and asks
