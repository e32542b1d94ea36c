"""What comes of one prompt that mods ran on, on the model that the server serves.

A rehearsal is against a scripted model; this is the real thing, for one who looks at it closely.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mods.runtime.decisions import Usage
from mods.runtime.package import Package
from mods.sdk.errors import HostError, ModError


@dataclass(frozen=True)
class Performance:
    """status, message: what a client would have got. record: as the mods' host gave it.

    shown: the pieces of text that a stream showed, one after the other; empty without a stream.
    """

    text: str | None
    finish_reason: str
    usage: Usage
    record: Mapping[str, Any]
    tool_calls: Sequence[Mapping[str, Any]] = ()
    shown: Sequence[str] = ()
    status: int = 200
    message: str = ""


class RefusedError(ModError):
    """The model's own checks refused the request before any mod ran."""

    type = "BadRequestError"

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


Perform = Callable[
    [Sequence[Package], Mapping[str, str], dict[str, Any], str], Awaitable[Performance]
]
"""Runs mods (with the caller's helper modules) over one request: the body of a chat completion, or
of a completion if it has a `prompt`. Last, who asks. Raises `ModError`."""


async def nowhere(
    packages: Sequence[Package], shared: Mapping[str, str], body: dict[str, Any], caller: str
) -> Performance:
    raise HostError("this server has no model")
