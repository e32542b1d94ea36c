"""Messages from a host, decoded by those whom everybody waits for."""

from __future__ import annotations

import gc
import time
from typing import TypeVar

import msgspec

T = TypeVar("T")

MAX_SECONDS = 0.03
"""Processor time that one message may take. One of honest contents takes 5 ms a mebibyte."""


class TooSlowError(ValueError):
    """A message that was made to be slow to read, of a million empty lists for example."""


def decode(decoder: msgspec.msgpack.Decoder[T], body: bytes | bytearray) -> T:
    """The message. Raises what msgspec raises, and `TooSlowError`.

    The collector stands still: it would look at everything for each few hundred lists that come.
    """
    began = time.thread_time()
    was_on = gc.isenabled()
    gc.disable()
    try:
        message = decoder.decode(body)
    finally:
        if was_on:
            gc.enable()
    took = time.thread_time() - began
    if took > MAX_SECONDS:
        raise TooSlowError(f"a message that takes {took * 1000:.0f} ms to read")
    return message
