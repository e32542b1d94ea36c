"""The API's end of a socket, for asyncio: whole messages in order, and word of its end, once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import msgspec

from mods.runtime.host.frames import MAX_FRAME, Frames, frame


class Channel(asyncio.Protocol):
    """Decodes what comes; a message that cannot be decoded, or is too long, ends the connection.

    heard(message) may end it too, by raising ValueError. broke(error): why it ended, told first.
    most: bytes in one message.
    """

    def __init__(
        self,
        decode: Callable[[bytearray], Any],
        heard: Callable[[Any], None],
        ended: Callable[[], None],
        broke: Callable[[Exception], None] | None = None,
        most: int = MAX_FRAME,
    ) -> None:
        self._decode = decode
        self._heard = heard
        self._ended = ended
        self._broke = broke
        self._frames = Frames(most)
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
        if self._transport is None:
            return
        try:
            for body in self._frames.add(data):
                self._heard(self._decode(body))
        except (ValueError, msgspec.MsgspecError) as error:
            self._transport.abort()
            if self._broke is not None:
                self._broke(error)

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        self._ended()
