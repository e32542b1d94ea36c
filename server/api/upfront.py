"""A stream that begins with an error is not a stream: its client gets a plain error response.

vLLM sends the head of a stream before it looks at the request's constraint. Here the head waits
for the first event; an error there becomes the response, with its own HTTP status.
"""

from __future__ import annotations

import json
from typing import Any

from starlette.types import Message, Send


class Upfront:
    """A `send` that holds a stream's head back until its first event is whole."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._head: Message | None = None
        self._begun = b""
        self._refused = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start" and _is_stream(message):
            self._head = message
        elif self._refused:
            return
        elif self._head is None or message["type"] != "http.response.body":
            await self._send(message)
        else:
            await self._first(message)

    async def _first(self, message: Message) -> None:
        """Decide by the first event, once it is there."""
        assert self._head is not None
        self._begun += message.get("body", b"")
        if b"\n\n" not in self._begun and message.get("more_body", False):
            return
        head, self._head = self._head, None
        error = _error(self._begun.partition(b"\n\n")[0])
        if error is None:
            await self._send(head)
            await self._send({**message, "body": self._begun})
            return
        self._refused = True
        body = json.dumps({"error": error}, ensure_ascii=False).encode()
        headers = [
            (name, value)
            for name, value in head["headers"]
            if name.lower() not in (b"content-type", b"content-length")
        ]
        headers += [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        await self._send({**head, "status": error["code"], "headers": headers})
        await self._send({"type": "http.response.body", "body": body})


def _is_stream(head: Message) -> bool:
    headers = head["headers"]
    kind = next((value for name, value in headers if name.lower() == b"content-type"), b"")
    return bool(kind.startswith(b"text/event-stream"))


def _error(event: bytes) -> dict[str, Any] | None:
    """The error that an event tells, if it tells one with an HTTP status."""
    data = b"".join(
        line[len(b"data:") :] for line in event.split(b"\n") if line.startswith(b"data:")
    )
    try:
        content = json.loads(data)
    except ValueError:
        return None
    error = content.get("error") if isinstance(content, dict) else None
    if not isinstance(error, dict) or not isinstance(error.get("code"), int):
        return None
    return error if 400 <= error["code"] < 600 else None
