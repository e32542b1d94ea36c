"""One file of a spool: frames behind each other, each with its length and its checksums.

    frame   mark(4)  length(4)  crc of the payload(4)  crc of these twelve bytes(4)  payload

A file is `N.open` while it grows and `N.sealed` after; N only rises. A crash may leave the last
frame torn, a bad disk may damage any: what is whole is read, what is not is counted.
"""

from __future__ import annotations

import logging
import os
import struct
import time
import zlib
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

log = logging.getLogger("concordance.traces")

MARK = b"\xf5TR1"
"""Begins a frame; no UTF-8 text holds it."""
MAX_FRAME = 64 * 2**20
"""Bytes of one payload at most."""

OPEN, SEALED = ".open", ".sealed"

_FRAME = struct.Struct("<4sII")
_CHECK = struct.Struct("<I")
_OVERHEAD = _FRAME.size + _CHECK.size


class Parsed(NamedTuple):
    """consumed: bytes that need not be read again. damaged: frames, or stretches, lost in them."""

    payloads: list[bytes]
    consumed: int
    damaged: int


def frame(payload: bytes) -> bytes:
    """A payload as it stands in a segment."""
    head = _FRAME.pack(MARK, len(payload), zlib.crc32(payload))
    return head + _CHECK.pack(zlib.crc32(head)) + payload


def parse(data: bytes, *, final: bool, limit: int = MAX_FRAME) -> Parsed:
    """The whole frames at the beginning of `data`, up to `limit` bytes but at least one.

    final: nothing will be appended, so what is unfinished is torn. Else it is left for later.
    """
    payloads: list[bytes] = []
    at = size = damaged = 0
    while at < len(data) and size < limit:
        found = _header(data, at)
        end = _next_header(data, at + 1) if found is None else at + found.size
        if end is None or end > len(data):
            if final:
                at, damaged = len(data), damaged + 1
            break
        payload = data[at + _OVERHEAD : end]
        if found is not None and zlib.crc32(payload) == found.checksum:
            payloads.append(payload)
            size += len(payload)
        elif end == len(data) and not final:
            break
        else:
            damaged += 1
        at = end
    return Parsed(payloads, at, damaged)


class _Header(NamedTuple):
    """size: bytes of the whole frame. checksum: of its payload."""

    size: int
    checksum: int


def _header(data: bytes, at: int) -> _Header | None:
    """The header that begins here, None if none does."""
    if len(data) < at + _OVERHEAD:
        return None
    mark, length, checksum = _FRAME.unpack_from(data, at)
    (check,) = _CHECK.unpack_from(data, at + _FRAME.size)
    if mark != MARK or length > MAX_FRAME or zlib.crc32(data[at : at + _FRAME.size]) != check:
        return None
    return _Header(_OVERHEAD + length, checksum)


def _next_header(data: bytes, at: int) -> int | None:
    while (at := data.find(MARK, at)) >= 0:
        if _header(data, at) is not None:
            return at
        at += 1
    return None


class SegmentReader:
    """Reads a segment from its beginning, also while it grows.

    position: bytes that need not be read again. damaged: what was lost in them.
    """

    def __init__(self, path: Path) -> None:
        self.position = 0
        self.damaged = 0
        self._file = path.open("rb")

    def read(self, *, final: bool, limit: int = MAX_FRAME) -> list[bytes]:
        """The next whole frames; none if there are none yet or, when final, none left."""
        self._file.seek(self.position)
        parsed = parse(self._file.read(), final=final, limit=limit)
        self.position += parsed.consumed
        self.damaged += parsed.damaged
        return parsed.payloads

    def close(self) -> None:
        self._file.close()


class SegmentWriter:
    """A new segment in a folder, and the only appender to it. Raises `OSError`.

    length: bytes that are durable.
    """

    def __init__(self, folder: Path) -> None:
        newest = max((number for number, _ in segments(folder)), default=0)
        # Time keeps numbers rising where all older segments were shipped and deleted.
        self.path = folder / f"{max(newest + 1, time.time_ns()):020d}{OPEN}"
        self.length = 0
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        self._descriptor = os.open(self.path, flags, 0o600)
        sync_folder(folder)

    def append(self, frames: Sequence[bytes]) -> int:
        """Write and sync. Returns how many of the frames, from the first, are durable.

        Raises `OSError` if that cannot be known; then the segment must not be appended to again.
        """
        written = self._write(b"".join(frames))
        whole = end = 0
        while whole < len(frames) and end + len(frames[whole]) <= written:
            end += len(frames[whole])
            whole += 1
        try:
            if end < written:
                os.ftruncate(self._descriptor, self.length + end)
            os.fsync(self._descriptor)
        except OSError:
            with suppress(OSError):
                os.ftruncate(self._descriptor, self.length)
            raise
        self.length += end
        return whole

    def seal(self) -> None:
        """Nothing more is appended. Where the renaming fails, the next start makes up for it."""
        os.close(self._descriptor)
        with suppress(OSError):
            self.path.rename(self.path.with_suffix(SEALED))

    def _write(self, data: bytes) -> int:
        """Returns how many bytes found room."""
        view, written = memoryview(data), 0
        try:
            while written < len(data):
                at = self.length + written
                written += os.pwrite(self._descriptor, view[written:], at)
        except OSError as error:
            log.error("%s cannot be written: %s", self.path, error)
        return written


def segments(folder: Path) -> list[tuple[int, Path]]:
    """The folder's segments, the oldest first."""
    paths = (path for path in folder.iterdir() if path.suffix in (OPEN, SEALED))
    return sorted((int(path.stem), path) for path in paths if path.stem.isdigit())


def size_of(paths: Iterable[Path]) -> int:
    """Bytes of these files together; one that is gone counts nothing."""
    total = 0
    for path in paths:
        try:
            total += path.stat().st_size
        except FileNotFoundError:
            continue
    return total


def sync_folder(folder: Path) -> None:
    """Make the making of files in this folder durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
