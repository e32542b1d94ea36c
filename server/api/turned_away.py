"""A request that goes no further than the gate, and what its client is told."""

from __future__ import annotations

import math

from starlette.types import Receive, Send
from starlette.types import Scope as Connection

from server.api.errors import error_response

POLICY_VIOLATION = 1008
"""The code with which a WebSocket is closed that may not be opened."""


class TurnedAwayError(Exception):
    """status, type, param: of the answer, in OpenAI's shape. retry_after: seconds. challenge: how
    to say who one is, where that was missing."""

    def __init__(
        self,
        status: int,
        type_: str,
        message: str,
        param: str | None = None,
        retry_after: float | None = None,
        challenge: str = "Bearer",
    ) -> None:
        super().__init__(message)
        self.status, self.type, self.param = status, type_, param
        self.retry_after, self.challenge = retry_after, challenge

    async def answer(self, scope: Connection, receive: Receive, send: Send) -> None:
        """Tell the client."""
        if scope["type"] == "websocket":
            reason = str(self)[:120]
            await send({"type": "websocket.close", "code": POLICY_VIOLATION, "reason": reason})
            return
        response = error_response(self.status, self.type, str(self), self.param)
        if self.status == 401:
            response.headers["www-authenticate"] = self.challenge
        if self.retry_after is not None:
            response.headers["retry-after"] = str(max(1, math.ceil(self.retry_after)))
        await response(scope, receive, send)
