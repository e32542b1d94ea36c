"""The API's end of a socket, for asyncio: whole messages in order, and word of its end, once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import msgspec

from mods.runtime.host.frames import Frames, FrameTooLongError, frame


class Channel(asyncio.Protocol):
    """Decodes what comes; a message that cannot be decoded ends the connection."""

    def __init__(
        self,
        decode: Callable[[bytearray], Any],
        heard: Callable[[Any], None],
        ended: Callable[[], None],
    ) -> None:
        self._decode = decode
        self._heard = heard
        self._ended = ended
        self._frames = Frames()
        self._transport: asyncio.Transport | None = None

    def send(self, message: Any) -> None:
        """Send, or do nothing if the connection has ended."""
        if self._transport is not None:
            self._transport.write(frame(message))

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        try:
            for body in self._frames.add(data):
                self._heard(self._decode(body))
        except (FrameTooLongError, msgspec.MsgspecError):
            if self._transport is not None:
                self._transport.abort()

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        self._ended()
