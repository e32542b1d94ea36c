"""The way out: what mods did, written into vLLM's answers, whole ones and streams.

Most of a stream passes untouched, byte for byte. Only events that end a choice, carry usage or
follow a removal are opened. Once a session has failed, nothing more of vLLM's goes out: the
stream ends with one error event in the route's own shape.
"""

from __future__ import annotations

import json
from typing import Any

from starlette.types import Message, Send

from server.api.shapes import Shape
from server.engine.call import Call

_INTERESTING = (b'finish_reason":"', b'"usage":{', b"response.completed", b"message_delta")
"""What an event contains if it must be opened."""


class Exit:
    """A `send` for one request with mods."""

    def __init__(self, shape: Shape, call: Call, send: Send) -> None:
        self._shape, self._call, self._send = shape, call, send
        self._start: Message | None = None
        self._streams = False
        self._buffer = b""
        self.done = False

    @property
    def streaming(self) -> bool:
        """Whether a stream has begun and not ended."""
        return self._streams and not self.done

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._start = message
            self._streams = _header(message, b"content-type").startswith(b"text/event-stream")
            if self._streams:
                await self._send(message)
        elif message["type"] != "http.response.body":
            await self._send(message)
        elif self._streams:
            await self._stream(message)
        else:
            await self._whole(message)

    async def fail(self) -> None:
        """End a stream that broke off because a session failed."""
        await self._stream({"type": "http.response.body", "body": b"", "more_body": False})

    async def _whole(self, message: Message) -> None:
        """Gather a whole answer, then write into it."""
        self._buffer += message.get("body", b"")
        if message.get("more_body", False):
            return
        assert self._start is not None
        body, start = self._rewrite(self._buffer), self._start
        headers = [(k, v) for k, v in start["headers"] if k.lower() != b"content-length"]
        headers.append((b"content-length", str(len(body)).encode()))
        self.done = True
        await self._send({**start, "headers": headers})
        await self._send({"type": "http.response.body", "body": body})

    def _rewrite(self, body: bytes) -> bytes:
        assert self._start is not None
        if self._start["status"] >= 400:
            failure = self._call.failure
            return body if failure is None else _json(self._shape.error(failure))
        try:
            content = json.loads(body)
        except ValueError:
            return body
        if isinstance(content, dict):
            self._shape.whole(content, self._call)
            return _json(content)
        return body

    async def _stream(self, message: Message) -> None:
        """Pass whole events on, opening those that matter."""
        self._buffer += message.get("body", b"")
        *events, self._buffer = self._buffer.split(b"\n\n")
        ended = not message.get("more_body", False)
        if self._call.failure is None:
            out = b"".join(self._event(event) for event in events)
            tail = self._buffer if ended else b""
        else:
            out, tail = b"", b""
            if ended:
                out = b"".join(self._shape.error_events(self._call.failure))
        self.done = ended
        if out or tail or ended:
            await self._send(
                {"type": "http.response.body", "body": out + tail, "more_body": not ended}
            )

    def _event(self, event: bytes) -> bytes:
        opened = self._shape.renumbers or self._call.removed
        if not opened and not any(mark in event for mark in _INTERESTING):
            return event + b"\n\n"
        name, content = _parse(event)
        if content is None:
            return event + b"\n\n"
        removed, self._call.removed = self._call.removed, []
        return b"".join(
            _event(item_name, item)
            for item_name, item in self._shape.events(name, content, self._call, removed)
        )


def _parse(event: bytes) -> tuple[str | None, dict[str, Any] | None]:
    """An event's name and its JSON, None where it has none."""
    name, data = None, b""
    for line in event.split(b"\n"):
        if line.startswith(b"event:"):
            name = line[6:].strip().decode()
        elif line.startswith(b"data:"):
            data += line[5:].strip()
    try:
        content = json.loads(data)
    except ValueError:
        return name, None
    return name, content if isinstance(content, dict) else None


def _event(name: str | None, content: dict[str, Any]) -> bytes:
    head = b"" if name is None else f"event: {name}\n".encode()
    return head + b"data: " + _json(content) + b"\n\n"


def _json(content: Any) -> bytes:
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()


def _header(message: Message, name: bytes) -> bytes:
    return next((v for k, v in message["headers"] if k.lower() == name), b"")
