"""A host's status page: a small file of int64 words that the host writes and the API reads.

It says when the handler call that runs now began, so that the API can judge a deadline without
asking the process it suspects, and how far each session's text may be shown. The host maps the
file; the reader uses `pread`, so that a host that truncates its file hurts nobody else.
"""

from __future__ import annotations

import mmap
import os
import struct
import time
from contextlib import suppress
from pathlib import Path

STARTED, CALLS, SEAT = 0, 1, 2
"""Words: monotonic nanoseconds at which the running call began (0 when none runs); handler calls
begun so far; which mod of the chain runs, or ran last."""

FIRST_SLOT = 8
SLOTS = 16_384
"""Sessions that one host can hold at once."""

_SIZE = 8 * (FIRST_SLOT + SLOTS)
_HEADER = struct.Struct("=3q")
_WORD = struct.Struct("=q")


class Page:
    """The host's end: written around every handler call and before every reply."""

    def __init__(self, path: Path) -> None:
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            os.ftruncate(descriptor, _SIZE)
            self._memory = mmap.mmap(descriptor, _SIZE)
        finally:
            os.close(descriptor)
        self._words = memoryview(self._memory).cast("q")
        self._free: list[int] = []
        self._unused = iter(range(SLOTS))

    def call_begins(self, seat: int) -> None:
        words = self._words
        words[SEAT] = seat
        words[CALLS] += 1
        words[STARTED] = time.monotonic_ns()

    def call_ends(self) -> None:
        self._words[STARTED] = 0

    def take_slot(self) -> int | None:
        """A slot for a session's floor, set to 0; None if all are taken."""
        slot = self._free.pop() if self._free else next(self._unused, None)
        if slot is not None:
            self._words[FIRST_SLOT + slot] = 0
        return slot

    def give_slot(self, slot: int) -> None:
        self._free.append(slot)

    def set_floor(self, slot: int, floor: int) -> None:
        self._words[FIRST_SLOT + slot] = floor

    def close(self) -> None:
        self._words.release()
        self._memory.close()


class PageReader:
    """The API's end. A page that cannot be read is all zeros."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def running(self) -> tuple[int, int, int]:
        """(monotonic nanoseconds at which the running call began or 0, calls, seat)."""
        data = self._read(_HEADER.size, 0)
        return _HEADER.unpack(data) if data else (0, 0, 0)

    def floor(self, slot: int) -> int:
        """How many output tokens of the session in this slot no mod may take back."""
        data = self._read(_WORD.size, 8 * (FIRST_SLOT + slot))
        return int(_WORD.unpack(data)[0]) if data else 0

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _read(self, size: int, offset: int) -> bytes:
        if self._descriptor < 0:
            return b""
        with suppress(OSError):
            data = os.pread(self._descriptor, size, offset)
            if len(data) == size:
                return data
        return b""
