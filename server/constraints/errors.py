"""How errors of our own routes are told: as OpenAI's API does, with the place in a constraint."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from mods.sdk.errors import ConstraintError, ModError
from server.api.errors import error_body

MAX_BODY = 2 * 2**20
"""Bytes of a request."""


class ConstraintRoute(APIRoute):
    """A route whose `ModError`s and malformed bodies become error replies."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handler(request: Request) -> Response:
            if int(request.headers.get("content-length", 0)) > MAX_BODY:
                return _reply(413, f"the body may have {MAX_BODY} bytes at most")
            try:
                return await handle(request)
            except RequestValidationError as error:
                return error_reply(_constraint_error(error)) or _reply(400, _in_words(error))
            except HTTPException as error:
                return _reply(error.status_code, str(error.detail))
            except ModError as error:
                return told(error)

        return handler


def told(error: ModError) -> JSONResponse:
    """The reply that an error becomes."""
    return JSONResponse(content_of(error), status_code=error.status)


def content_of(error: ModError) -> dict[str, Any]:
    """An error as it goes over the wire, in a reply or in a stream."""
    message = str(error).encode("utf-8", "replace").decode()
    if isinstance(error, ConstraintError):
        place = {"part": error.part, "position": error.position}
        return error_body(error.status, error.type, message, "constraints", **place)
    return error_body(error.status, error.type, message)


def _reply(status: int, message: str) -> JSONResponse:
    return JSONResponse(error_body(status, "BadRequestError", message), status_code=status)


def _constraint_error(error: RequestValidationError) -> ConstraintError | None:
    """The constraint's own error, if a field was one that could not be read."""
    found = (one.get("ctx", {}).get("error") for one in error.errors())
    return next((one for one in found if isinstance(one, ConstraintError)), None)


def error_reply(error: ConstraintError | None) -> JSONResponse | None:
    return None if error is None else told(error)


def _in_words(error: RequestValidationError) -> str:
    """The first thing that is wrong with a body."""
    first = error.errors()[0]
    where = ".".join(str(step) for step in first["loc"] if step != "body")
    if first["type"] == "json_invalid":
        return f"the body is not JSON: {first.get('ctx', {}).get('error', 'it cannot be parsed')}"
    if first["type"] == "extra_forbidden":
        return f"unknown field {where!r:.80}"
    return f"{where or 'the body'}: {first['msg'].lower()}, got {first.get('input')!r:.60}"
