"""How each generation route spells tool calls, usage by origin, removals and errors."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Sequence
from typing import Any

from mods.runtime.decisions import Fail, Usage
from server.api.errors import error_body
from server.engine.call import Call, Removed
from server.mods.told import told_record

Event = tuple[str | None, dict[str, Any]]
"""An event's name, if it has one, and its JSON."""


class Shape:
    """A route that carries text and no more: usage by origin, nothing else."""

    output_key = "completion_tokens"
    input_key = "prompt_tokens"
    renumbers = False
    """Whether every event must be opened, to keep sequence numbers in order."""

    def whole(self, content: dict[str, Any], call: Call) -> None:
        """Write into a whole answer."""
        self.count(content.get("usage"), call)
        content["mods"] = _provenance(call)
        if call.wants_record:
            choices = (call.choices[index] for index in sorted(call.choices))
            content["mod_record"] = [told_record(choice.record or {}) for choice in choices]

    def events(
        self, name: str | None, content: dict[str, Any], call: Call, removed: Sequence[Removed]
    ) -> Iterator[Event]:
        """What goes out in place of one event."""
        for removal in removed:
            yield self.removal(content, removal)
        yield name, content

    def removal(self, content: dict[str, Any], removed: Removed) -> Event:
        return "concordance.removed", {"type": "concordance.removed", **_removed(removed)}

    def error(self, failure: Fail) -> dict[str, Any]:
        """The body of a failed request."""
        return error_body(failure.status, failure.type, failure.message)

    def error_events(self, failure: Fail) -> Iterator[bytes]:
        """The end of a failed stream."""
        yield b"data: " + json.dumps(self.error(failure)).encode() + b"\n\n"
        yield b"data: [DONE]\n\n"

    def count(self, usage: dict[str, Any] | None, call: Call) -> None:
        """Make usage count the tokens that survive, with their origins beside them."""
        if not usage or not call.choices:
            return
        tokens: Usage = call.usage()
        usage[self.output_key] = tokens.sampled + tokens.forced
        if "total_tokens" in usage:
            usage["total_tokens"] = usage.get(self.input_key, 0) + usage[self.output_key]
        usage.update(
            sampled_tokens=tokens.sampled,
            forced_tokens=tokens.forced,
            erased_tokens=tokens.erased,
        )


class Completions(Shape):
    """`/v1/completions`: tool calls stand beside the text."""

    def whole(self, content: dict[str, Any], call: Call) -> None:
        super().whole(content, call)
        for choice in content.get("choices", ()):
            self._finish(choice, call)

    def events(
        self, name: str | None, content: dict[str, Any], call: Call, removed: Sequence[Removed]
    ) -> Iterator[Event]:
        for removal in removed:
            yield self.removal(content, removal)
        for choice in content.get("choices", ()):
            if choice.get("finish_reason"):
                yield from self._finish_stream(name, content, choice, call)
        if not content.get("choices"):
            self.count(content.get("usage"), call)
        yield name, content

    def removal(self, content: dict[str, Any], removed: Removed) -> Event:
        choice = {**self._empty(removed.index), "removed": _removed(removed)}
        return None, {**content, "choices": [choice], "usage": None}

    def _empty(self, index: int) -> dict[str, Any]:
        return {"index": index, "text": "", "logprobs": None, "finish_reason": None}

    def _finish(self, choice: dict[str, Any], call: Call) -> None:
        calls = _tool_calls(call, choice)
        if calls:
            choice["tool_calls"], choice["finish_reason"] = calls, "tool_calls"

    def _finish_stream(
        self, name: str | None, content: dict[str, Any], choice: dict[str, Any], call: Call
    ) -> Iterator[Event]:
        self._finish(choice, call)
        yield from ()


class Chat(Completions):
    """`/v1/chat/completions`: tool calls are part of the message."""

    def removal(self, content: dict[str, Any], removed: Removed) -> Event:
        delta = {"content": "", "removed": _removed(removed)}
        choice = {"index": removed.index, "delta": delta, "finish_reason": None}
        return None, {**content, "choices": [choice]}

    def _finish(self, choice: dict[str, Any], call: Call) -> None:
        calls = _tool_calls(call, choice)
        if calls:
            message = choice.setdefault("message", {})
            message["content"] = message.get("content") or None
            message["tool_calls"] = calls
            choice["finish_reason"] = "tool_calls"

    def _finish_stream(
        self, name: str | None, content: dict[str, Any], choice: dict[str, Any], call: Call
    ) -> Iterator[Event]:
        calls = _tool_calls(call, choice)
        if calls:
            delta = {"tool_calls": [{"index": n, **one} for n, one in enumerate(calls)]}
            early = {"index": choice["index"], "delta": delta, "finish_reason": None}
            choice["finish_reason"] = "tool_calls"
            yield name, {**content, "choices": [early]}


class Responses(Shape):
    """`/v1/responses`: tool calls are items of the output; events are numbered."""

    output_key = "output_tokens"
    input_key = "input_tokens"
    renumbers = True

    def __init__(self) -> None:
        self._number = 0

    def whole(self, content: dict[str, Any], call: Call) -> None:
        super().whole(content, call)
        items = _function_calls(call)
        if items:
            kept = [item for item in content.get("output", ()) if not _is_empty_message(item)]
            content["output"] = kept + items

    def events(
        self, name: str | None, content: dict[str, Any], call: Call, removed: Sequence[Removed]
    ) -> Iterator[Event]:
        for event_name, event in self._unnumbered(name, content, call, removed):
            if "sequence_number" in event:
                event["sequence_number"] = self._number
                self._number += 1
            yield event_name, event

    def _unnumbered(
        self, name: str | None, content: dict[str, Any], call: Call, removed: Sequence[Removed]
    ) -> Iterator[Event]:
        for removal in removed:
            yield self.removal(content, removal)
        if content.get("type") == "response.completed":
            response = content["response"]
            items = _function_calls(call)
            first = len(response.get("output", ()))
            for offset, item in enumerate(items):
                yield from _item_events(first + offset, item)
            super().whole(response, call)
            response["output"] = [*response.get("output", ()), *items]
        yield name, content

    def error_events(self, failure: Fail) -> Iterator[bytes]:
        event = {
            "type": "error",
            "code": failure.type,
            "message": failure.message,
            "param": None,
            "status": failure.status,
            "sequence_number": self._number,
        }
        yield b"event: error\ndata: " + json.dumps(event).encode() + b"\n\n"


class Messages(Shape):
    """`/v1/messages`: tool calls are `tool_use` blocks of the content."""

    output_key = "output_tokens"
    input_key = "input_tokens"
    renumbers = True

    def __init__(self) -> None:
        self._blocks = 0

    def whole(self, content: dict[str, Any], call: Call) -> None:
        super().whole(content, call)
        blocks = _tool_use(call)
        if blocks:
            kept = [b for b in content.get("content", ()) if b.get("text") != ""]
            content["content"], content["stop_reason"] = kept + blocks, "tool_use"

    def events(
        self, name: str | None, content: dict[str, Any], call: Call, removed: Sequence[Removed]
    ) -> Iterator[Event]:
        for removal in removed:
            yield self.removal(content, removal)
        if content.get("type") == "content_block_start":
            self._blocks += 1
        if content.get("type") == "message_delta":
            for block in _tool_use(call):
                yield from _block_events(self._blocks, block)
                self._blocks += 1
                content["delta"]["stop_reason"] = "tool_use"
            self.count(content.get("usage"), call)
        yield name, content

    def error(self, failure: Fail) -> dict[str, Any]:
        detail = {"type": failure.type, "message": failure.message, "code": failure.status}
        return {"type": "error", "error": detail}

    def error_events(self, failure: Fail) -> Iterator[bytes]:
        yield b"event: error\ndata: " + json.dumps(self.error(failure)).encode() + b"\n\n"


_KINDS: dict[str, type[Shape]] = {
    "chat/completions": Chat,
    "completions": Completions,
    "responses": Responses,
    "messages": Messages,
    "inference/v1/generate": Completions,
}


def _kind(path: str, content: dict[str, Any]) -> type[Shape] | None:
    path = path.rstrip("/")
    if path.endswith("/invocations"):
        return Chat if "messages" in content else Completions
    return next((kind for end, kind in _KINDS.items() if path.endswith(end)), None)


def has_shape(path: str, content: dict[str, Any]) -> bool:
    """Whether mods can be written into this route's answers to this body."""
    return _kind(path, content) is not None


def shape_of(path: str, content: dict[str, Any]) -> Shape:
    """The shape of a route's answers."""
    return (_kind(path, content) or Shape)()


def _provenance(call: Call) -> list[dict[str, str]]:
    return [{"name": package.name, "digest": package.digest} for package in call.mods]


def _removed(removed: Removed) -> dict[str, Any]:
    return {"index": removed.index, "text": removed.text, "tokens": removed.tokens}


def _tool_calls(call: Call, choice: dict[str, Any]) -> list[dict[str, Any]] | None:
    done = call.choices.get(choice.get("index", 0))
    return done.tool_calls if done else None


def _all_tool_calls(call: Call) -> Iterator[dict[str, Any]]:
    for choice in call.choices.values():
        yield from choice.tool_calls or ()


def _function_calls(call: Call) -> list[dict[str, Any]]:
    return [
        {
            "type": "function_call",
            "id": f"fc_{uuid.uuid4().hex[:24]}",
            "call_id": one["id"],
            "name": one["function"]["name"],
            "arguments": one["function"]["arguments"],
            "status": "completed",
        }
        for one in _all_tool_calls(call)
    ]


def _item_events(index: int, item: dict[str, Any]) -> Iterator[Event]:
    started = {**item, "arguments": "", "status": "in_progress"}
    where = {"output_index": index, "sequence_number": 0}
    arguments = {"item_id": item["id"], **where}
    for kind, more in (
        ("response.output_item.added", {"item": started, **where}),
        ("response.function_call_arguments.delta", {"delta": item["arguments"], **arguments}),
        (
            "response.function_call_arguments.done",
            {"arguments": item["arguments"], "name": item["name"], **arguments},
        ),
        ("response.output_item.done", {"item": item, **where}),
    ):
        yield kind, {"type": kind, **more}


def _is_empty_message(item: dict[str, Any]) -> bool:
    texts = [part.get("text") for part in item.get("content") or ()]
    return item.get("type") == "message" and not any(texts)


def _tool_use(call: Call) -> list[dict[str, Any]]:
    return [
        {
            "type": "tool_use",
            "id": one["id"],
            "name": one["function"]["name"],
            "input": _as_object(one["function"]["arguments"]),
        }
        for one in _all_tool_calls(call)
    ]


def _as_object(arguments: str) -> dict[str, Any]:
    try:
        value = json.loads(arguments)
    except ValueError:
        return {"arguments": arguments}
    return value if isinstance(value, dict) else {"arguments": value}


def _block_events(index: int, block: dict[str, Any]) -> Iterator[Event]:
    delta = {"type": "input_json_delta", "partial_json": json.dumps(block["input"])}
    for kind, more in (
        ("content_block_start", {"content_block": {**block, "input": {}}}),
        ("content_block_delta", {"delta": delta}),
        ("content_block_stop", {}),
    ):
        yield kind, {"type": kind, "index": index, **more}
