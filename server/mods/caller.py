"""Who sends a request. The one place that knows; everything else takes the caller as a string."""

from __future__ import annotations

from starlette.requests import HTTPConnection

from server.keys.passes import LOCAL, held_by

__all__ = ["BUILT_IN", "EVERYBODY", "LOCAL", "caller_of", "reader_of"]

EVERYBODY = ""
"""The caller whose mods everybody may use: those that the server was started with."""

BUILT_IN = "\0"
"""The owner of the stock mods; no caller is called so."""


def caller_of(request: HTTPConnection) -> str:
    """The caller of a request: the user whose key it came with."""
    return held_by(request.scope).user


def reader_of(request: HTTPConnection) -> str | None:
    """Whose traces the caller may see; None for everybody's."""
    return held_by(request.scope).reads
