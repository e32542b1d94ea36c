"""The request as the client sent it: its messages, tools and schemas, for the running handler.

Kept in memory by the session and put here only while one of its handlers runs.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Protocol


class Request(Protocol):
    """What a session must offer."""

    @property
    def conversation(self) -> list[dict[str, Any]]: ...
    @property
    def tools(self) -> list[dict[str, Any]]: ...
    @property
    def response_format(self) -> dict[str, Any] | None: ...


_current: Request | None = None


def enter(request: Request) -> None:
    """Make this the request that the functions below speak of."""
    global _current
    _current = request


def get_conversation(request_id: str | None = None) -> list[dict[str, Any]]:
    """The messages, oldest first, as a copy. Empty for a plain completion."""
    return copy.deepcopy(_current.conversation) if _current else []


def get_schemas(request_id: str | None = None) -> list[dict[str, Any]]:
    """The request's tools and its response format, as a copy."""
    if _current is None:
        return []
    formats = [_current.response_format] if _current.response_format else []
    return copy.deepcopy([*_current.tools, *formats])


def tool_call_pairs(
    conversation: list[dict[str, Any]] | None = None,
) -> list[tuple[dict[str, Any], dict[str, Any] | None]]:
    """Each tool call with the message that answers it, or None where none does."""
    messages = get_conversation() if conversation is None else conversation
    answers = {
        message.get("tool_call_id"): message
        for message in messages
        if message.get("role") == "tool"
    }
    return [
        (_with_arguments(call), answers.get(call.get("id")))
        for message in messages
        for call in message.get("tool_calls") or ()
    ]


def _with_arguments(call: Mapping[str, Any]) -> dict[str, Any]:
    """The call with its arguments parsed, where they are JSON."""
    function = dict(call.get("function") or {})
    with suppress(TypeError, ValueError):
        function["arguments"] = json.loads(function.get("arguments") or "{}")
    return {**call, "function": function}
