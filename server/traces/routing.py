"""What all routes of traces share: errors in OpenAI's shape, and where they find what they need."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Annotated, Any, cast

import msgspec
from fastapi import Depends, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.convertors import StringConvertor, register_url_convertor

from mods.sdk.errors import ModError
from server.api.errors import error_response
from server.mods.caller import caller_of, reader_of
from server.traces.archive import Shelves
from server.traces.errors import AwayError, CursorError, RefusedError, TraceError, UnknownTraceError
from server.traces.reading import RecordError
from server.traces.service import Traces

_STATUS = {AwayError: 503, UnknownTraceError: 404, CursorError: 400, RefusedError: 422}


class AnyName(StringConvertor):
    """`{id:name}` in a path: any text, `/` and line ends too, as ids and tags may have them.

    Routes that go on behind an id come before those that end with it.
    """

    regex = "(?s:.+)"


register_url_convertor("name", AnyName())


class FilterError(ValueError):
    """A query that cannot be understood. param: the part of it."""

    def __init__(self, param: str, message: str) -> None:
        super().__init__(message)
        self.param = param


class TooLargeError(ValueError):
    """A body of more bytes than are taken."""


class TraceRoute(APIRoute):
    """A route whose errors become error replies with their own status."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handler(request: Request) -> Response:
            try:
                return await handle(request)
            except RequestValidationError as error:
                return _malformed(error)
            except FilterError as error:
                return error_response(400, "BadRequestError", str(error), error.param)
            except TooLargeError as error:
                return error_response(413, "too_large", str(error))
            except RecordError as error:
                return error_response(422, "invalid_record", str(error), error.field or None)
            except ModError as error:
                return error_response(error.status, error.type, str(error))
            except TraceError as error:
                status = _STATUS.get(type(error), 500)
                kind = type(error).__name__.removesuffix("Error").lower()
                return error_response(status, f"trace_{kind}", str(error))

        return handler


def traces_of(request: Request) -> Traces:
    return cast(Traces, request.app.state.concordance_traces)


async def shelves_of(request: Request) -> Shelves:
    """Raises `AwayError`, a 503."""
    return await traces_of(request).archive.shelves()


Kept = Annotated[Traces, Depends(traces_of)]
Archived = Annotated[Shelves, Depends(shelves_of)]
Caller = Annotated[str, Depends(caller_of)]
Reader = Annotated[str | None, Depends(reader_of)]
"""Whose traces the one who asks may see; None for everybody's."""


def json_reply(value: Any, status: int = 200) -> Response:
    """Anything that msgspec encodes, as JSON."""
    return Response(msgspec.json.encode(value), status, media_type="application/json")


def only(request: Request, *names: str) -> None:
    """Raises `FilterError` for a query parameter that is none of these."""
    for name in request.query_params:
        if name not in names:
            raise FilterError(name, f"unknown filter {name!r:.80}; there are {', '.join(names)}")


def _malformed(error: RequestValidationError) -> Response:
    """The first thing that is wrong: 400 for a query, 422 for a body."""
    first = error.errors()[0]
    place, *where = [str(part) for part in first["loc"]]
    field = ".".join(where)
    message = f"{field or 'the body'}: {first['msg'].lower()}"
    if place == "body":
        return error_response(422, "invalid_body", message, field or None)
    return error_response(400, "BadRequestError", message, field or None)
