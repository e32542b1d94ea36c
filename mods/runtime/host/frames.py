"""Messages on a stream socket: a 4-byte little-endian length, then that many bytes of msgpack."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

import msgspec

_LENGTH = struct.Struct("<I")
_ENCODER = msgspec.msgpack.Encoder()

MAX_FRAME = 64 * 2**20
"""Bytes in one message at most; the other side of a longer one is taken to be broken."""
MAX_VERDICTS = 6 * 2**20
"""Bytes in a host's decisions for one step at most: the engine waits while they are read."""
MAX_ANSWER = 2**20
"""Bytes in a host's answer to the API at most: everybody's requests wait while it is read."""


class FrameTooLongError(ValueError):
    """The other side announced a message longer than `MAX_FRAME`."""


def frame(message: Any, most: int | None = None) -> bytes:
    """The message as it goes over the wire. Raises what msgspec raises if it cannot be encoded.

    most: bytes in it, `MAX_FRAME` if None; `FrameTooLongError` if it has more.
    """
    body = _ENCODER.encode(message)
    most = MAX_FRAME if most is None else most
    if len(body) > most:
        raise FrameTooLongError(f"a message of {len(body)} bytes; at most {most} may be sent")
    return _LENGTH.pack(len(body)) + body


class Frames:
    """Bytes in, whole messages out; a partial message waits for its rest.

    most: bytes in one message.
    """

    def __init__(self, most: int = MAX_FRAME) -> None:
        self.most = most
        self._buffer = bytearray()

    def add(self, data: bytes) -> Iterator[bytearray]:
        """Take bytes in and give each message that is now whole. Must be run to its end.

        Raises `FrameTooLongError` at a length that no message may have.
        """
        buffer = self._buffer
        buffer += data
        start = 0
        while len(buffer) - start >= 4:
            (length,) = _LENGTH.unpack_from(buffer, start)
            if length > self.most:
                raise FrameTooLongError(
                    f"a message of {length} bytes; at most {self.most} may come"
                )
            if len(buffer) - start - 4 < length:
                break
            yield buffer[start + 4 : start + 4 + length]
            start += 4 + length
        del buffer[:start]
