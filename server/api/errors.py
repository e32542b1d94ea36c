"""Errors in OpenAI's shape, for what never reaches vLLM's own handlers."""

from __future__ import annotations

import json
from typing import Any

from starlette.responses import Response


def error_body(
    status: int, type_: str, message: str, param: str | None = None, **more: Any
) -> dict[str, Any]:
    """`{"error": {message, type, param, code}}`; code is the HTTP status."""
    return {"error": {"message": message, "type": type_, "param": param, "code": status, **more}}


def error_response(status: int, type_: str, message: str, param: str | None = None) -> Response:
    """A JSON response with that body."""
    body = json.dumps(error_body(status, type_, message, param))
    return Response(body, status_code=status, media_type="application/json")
