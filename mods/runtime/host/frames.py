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


class FrameTooLongError(ValueError):
    """The other side announced a message longer than `MAX_FRAME`."""


def frame(message: Any) -> bytes:
    """The message as it goes over the wire. Raises what msgspec raises if it cannot be encoded."""
    body = _ENCODER.encode(message)
    if len(body) > MAX_FRAME:
        raise FrameTooLongError(f"a message of {len(body)} bytes; at most {MAX_FRAME} may be sent")
    return _LENGTH.pack(len(body)) + body


class Frames:
    """Bytes in, whole messages out; a partial message waits for its rest."""

    def __init__(self) -> None:
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
            if length > MAX_FRAME:
                raise FrameTooLongError(
                    f"a message of {length} bytes; at most {MAX_FRAME} may come"
                )
            if len(buffer) - start - 4 < length:
                break
            yield buffer[start + 4 : start + 4 + length]
            start += 4 + length
        del buffer[:start]
