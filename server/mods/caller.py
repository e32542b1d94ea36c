"""Who sends a request. The one place that knows; everything else takes the caller as a string."""

from __future__ import annotations

from starlette.requests import HTTPConnection

EVERYBODY = ""
"""The caller whose mods everybody may use: those that the server was started with."""

BUILT_IN = "\0"
"""The owner of the stock mods; no caller is called so."""

LOCAL = "local"


def caller_of(request: HTTPConnection) -> str:
    """The caller of a request: there is one, until there are keys."""
    return LOCAL
