"""One HTTP request that may generate: what the trace must know of it and the engine never sees.

The way in leaves it, whoever watches the engine finds it by context. The body is kept as bytes and
read once the request is over, away from the event loop.
"""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, get_args

import msgspec

Tracing = Literal["off", "tokens", "full"]
"""How much of a request is traced."""
LEVELS: tuple[str, ...] = get_args(Tracing)


@dataclass
class Asked:
    """level: what the request asks for, None for what the server is set to. chosen_id: whether
    the client chose the request's id, which may then come twice. parent_id, parent_step: the trace
    that is replayed, and the round from which it differs. traceparent: the client's own span, as
    W3C's header gives it. ids: of the traces that came of it.
    """

    endpoint: str = ""
    caller: str = ""
    body: bytes = b""
    level: Tracing | None = None
    chosen_id: bool = False
    parent_id: str = ""
    parent_step: int | None = None
    traceparent: str = ""
    ids: list[str] = field(default_factory=list)

    @cached_property
    def content(self) -> dict[str, Any]:
        """The parsed body, empty if it is no JSON object."""
        try:
            content = msgspec.json.decode(self.body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return {}
        return content if isinstance(content, dict) else {}


current_asked: ContextVar[Asked | None] = ContextVar("concordance_asked", default=None)
"""The request that the running task serves, None where it did not come by HTTP."""
