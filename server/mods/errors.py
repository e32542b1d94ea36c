"""How an error of the mod routes is told: always `{"error": {…}}`, as OpenAI's API does."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute

from mods.runtime.files import PackageError
from mods.sdk.errors import ModError
from server.mods.models import Error, ErrorReply


class ModRoute(APIRoute):
    """A route whose `ModError`s and malformed bodies become error replies."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handler(request: Request) -> Response:
            try:
                return await handle(request)
            except RequestValidationError as error:
                return error_reply(_malformed(error, request))
            except ModError as error:
                return error_reply(error)

        return handler


def error_reply(error: ModError) -> JSONResponse:
    """The reply that an error becomes, with its own status."""
    told = Error(
        message=str(error).encode("utf-8", "replace").decode(),
        type=error.type,
        param=getattr(error, "param", None),
        code=error.status,
        file=getattr(error, "file", None),
        line=getattr(error, "line", None),
    )
    return JSONResponse(ErrorReply(error=told).model_dump(), status_code=error.status)


def _malformed(error: RequestValidationError, request: Request) -> PackageError:
    """The first thing that is wrong with a body, in words."""
    first = error.errors()[0]
    where = [str(part) for part in first["loc"] if part != "body"]
    if first["type"] == "json_invalid":
        reason = first.get("ctx", {}).get("error", "it cannot be parsed")
        return PackageError(f"the body is not JSON: {reason} (character {where[0]})")
    media = request.headers.get("content-type", "")
    if not where and "json" not in media:
        return PackageError(
            f"the body has content type {media or 'none'!r}; send JSON, with"
            " 'content-type: application/json'"
        )
    if first["type"] == "extra_forbidden":
        return PackageError(f"unknown field {where[-1]!r:.80}", param=where[0])
    field = ".".join(where) or "the body"
    given = type(first.get("input")).__name__
    return PackageError(
        f"{field}: {first['msg'].lower()}, got {given}", param=where[0] if where else None
    )
