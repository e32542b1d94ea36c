"""The request as the client sent it: its messages, tools and schemas, for the running handler.

They are kept in memory by the session, and put here while one of its handlers runs: nothing is
written to a file, and no handler sees another request's.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from typing import Any, Protocol


class Request(Protocol):
    """What a session must offer."""

    @property
    def request_id(self) -> str: ...
    @property
    def conversation(self) -> list[dict[str, Any]]: ...
    @property
    def tools(self) -> list[dict[str, Any]]: ...
    @property
    def response_format(self) -> dict[str, Any] | None: ...


_current: ContextVar[Request | None] = ContextVar("request", default=None)
"""By context, so that a handler that waits, and a task that it began, keep their own request."""

enter: Callable[[Request], object] = _current.set
"""Make this the request that the functions below speak of."""


def get_conversation(request_id: str | None = None) -> list[dict[str, Any]]:
    """The messages as the client sent them, oldest first, as a copy.

        asked = get_conversation()[-1]["content"]

    Empty for a plain completion. A system prompt that came beside the messages comes first. The
    request is the one whose event is being handled; request_id may only say so once more. Raises
    PermissionError for another's.
    """
    request = _request(request_id)
    return copy.deepcopy(request.conversation) if request else []


def get_schemas(request_id: str | None = None) -> list[dict[str, Any]]:
    """What the answer is to look like: the response format's JSON schema, then the tools.

        wanted = next(iter(get_schemas()), None)

    The schema comes by itself, without what is around it in the request; `json_object` counts as
    the schema of any object, and `text` as none. The tools come as the client sent them. Copies.
    Raises PermissionError for another request's.
    """
    request = _request(request_id)
    if request is None:
        return []
    return copy.deepcopy([*_schema(request.response_format), *request.tools])


def tool_call_pairs(
    messages: Sequence[Mapping[str, Any]] | None = None,
) -> list[tuple[dict[str, Any], str | None]]:
    """Each tool call of the conversation with the text that answered it, None if nothing did yet.

        for call, answer in tool_call_pairs():
            print(call["function"]["name"], json.loads(call["function"]["arguments"]), answer)

    Calls are in the shape of chat completions, whichever route they came by; arguments are JSON
    text. messages: others than the request's own.
    """
    calls: dict[str, dict[str, Any]] = {}
    answers: dict[str, str | None] = {}
    for message in get_conversation() if messages is None else messages:
        for call in _calls(message):
            calls.setdefault(call["id"], call)
        answers.update(_answers(message))
    return [(call, answers.get(name)) for name, call in calls.items()]


def _request(request_id: str | None) -> Request | None:
    request = _current.get()
    if request and request_id is not None and request_id != request.request_id:
        raise PermissionError(
            f"request {request_id!r} is not the one that is being handled"
            f" ({request.request_id!r}), and a mod sees no other"
        )
    return request


def _schema(given: Mapping[str, Any] | None) -> list[Any]:
    """The JSON schema in a response format, of chat completions or of responses."""
    kind = (given or {}).get("type")
    if not given or kind == "text":
        return []
    if kind == "json_object":
        return [{"type": "object"}]
    inner = given.get("json_schema", given)
    return [inner.get("schema", given) if isinstance(inner, Mapping) else given]


def _calls(message: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The tool calls in one message: of chat completions, responses, or messages."""
    for call in _dicts(message.get("tool_calls")):
        if isinstance(call.get("id"), str):
            yield copy.deepcopy(dict(call))
    if message.get("type") == "function_call":
        yield _call(message.get("call_id"), message.get("name"), message.get("arguments"))
    for block in _dicts(message.get("content")):
        if block.get("type") == "tool_use":
            yield _call(block.get("id"), block.get("name"), block.get("input"))


def _call(name: object, function: object, arguments: object) -> dict[str, Any]:
    text = arguments if isinstance(arguments, str) else json.dumps(arguments)
    return {
        "id": str(name),
        "type": "function",
        "function": {"name": function, "arguments": text},
    }


def _answers(message: Mapping[str, Any]) -> Iterator[tuple[str, str | None]]:
    """What a message says to calls, by their ids."""
    if message.get("role") == "tool":
        yield str(message.get("tool_call_id")), _text(message.get("content"))
    if message.get("type") == "function_call_output":
        yield str(message.get("call_id")), _text(message.get("output"))
    for block in _dicts(message.get("content")):
        if block.get("type") == "tool_result":
            yield str(block.get("tool_use_id")), _text(block.get("content"))


def _text(content: object) -> str | None:
    """A message's content as one text: parts are joined, anything else is written as JSON."""
    if content is None or isinstance(content, str):
        return content
    if isinstance(content, list):
        texts = [part.get("text") if isinstance(part, Mapping) else part for part in content]
        return "".join(text for text in texts if isinstance(text, str))
    return json.dumps(content)


def _dicts(value: object) -> list[Mapping[str, Any]]:
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []
