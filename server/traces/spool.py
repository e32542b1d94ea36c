"""Where finished traces go first: appended to segments on disk, by a thread of its own.

`append` is called from the event loop and neither waits nor raises. The thread writes all that
has gathered, syncs once, and then acknowledges. What cannot be kept is dropped and counted, by
cause; generation goes on.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path

from server.traces.lock import FolderLock
from server.traces.segment import MAX_FRAME, OPEN, SEALED, SegmentWriter, frame, segments, size_of
from server.traces.trace import Trace

log = logging.getLogger("concordance.traces")

INTERVAL = 0.025
"""Seconds between two syncs, where there is always something to write."""


@dataclass
class SpoolCounts:
    """Traces since the start. durable + dropped + still waiting = appended.

    dropped, by cause: `disk` could not be written, `full` the spool has its size, `busy` the disk
    is slower than what comes, `unwritable` no bytes could be made of it, `closed` came too late.
    """

    appended: int = 0
    durable: int = 0
    bytes: int = 0
    dropped: Counter[str] = field(default_factory=Counter)


Item = tuple[bytes, "Future[bool]"]


class Spool:
    """The appending side of one spool folder. Raises `SpoolInUseError` if there is one already.

    max_bytes: of the whole folder. segment_bytes: from which on a segment is sealed.
    max_waiting: bytes that may wait for the disk, in memory.
    """

    def __init__(
        self,
        folder: Path,
        *,
        max_bytes: int = 2**30,
        segment_bytes: int = 8 * 2**20,
        max_waiting: int = 64 * 2**20,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.folder = folder
        self.counts = SpoolCounts()
        self._max_bytes, self._segment_bytes = max_bytes, segment_bytes
        self._max_waiting = max_waiting
        self._lock = FolderLock(folder / "spool.lock", "appends to")
        self._segment: SegmentWriter | None = None
        self._seal_leftovers()
        self._waiting: list[Item] = []
        self._waiting_bytes = 0
        self._closing = False
        self._wake = threading.Condition()  # its lock may be taken again by who has it
        self._thread = threading.Thread(target=self._run, name="spool", daemon=True)
        self._thread.start()

    def append(self, trace: Trace) -> Future[bool]:
        """Keep a finished trace. The future says whether it is durable; it never fails."""
        kept: Future[bool] = Future()
        kept.set_running_or_notify_cancel()  # who waits for it may be cancelled; it may not
        try:
            data = trace.encode()
        except Exception:
            log.exception("no bytes could be made of trace %r", trace.request.request_id)
            return self._refuse(kept, "unwritable")
        with self._wake:
            if self._closing:
                return self._refuse(kept, "closed")
            if len(data) > MAX_FRAME or self._waiting_bytes + len(data) > self._max_waiting:
                return self._refuse(kept, "busy" if len(data) <= MAX_FRAME else "unwritable")
            self.counts.appended += 1
            self._waiting.append((data, kept))
            self._waiting_bytes += len(data)
            self._wake.notify()
        return kept

    def drop(self, cause: str) -> None:
        """Count a trace that will not come."""
        with self._wake:
            self.counts.appended += 1
            self.counts.dropped[cause] += 1

    def close(self) -> None:
        """Write what waits, seal, and give the folder up. Safe to call twice."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        self._thread.join()
        self._seal()
        self._lock.release()

    def size(self) -> int:
        """Bytes of all segments that are not shipped yet."""
        return size_of(path for _, path in segments(self.folder))

    def _refuse(self, kept: Future[bool], cause: str) -> Future[bool]:
        self.drop(cause)
        kept.set_result(False)
        return kept

    def _run(self) -> None:
        last = 0.0
        while batch := self._gather(last + INTERVAL):
            last = time.monotonic()
            try:
                self._write(batch)
            except OSError as error:
                log.error("the spool cannot be written: %s", error)
            self._settle([kept for _, kept in batch if not kept.done()], "disk")

    def _gather(self, not_before: float) -> list[Item]:
        """All that waits, once there is something and the time has come; empty at the end."""
        with self._wake:
            while not self._waiting and not self._closing:
                self._wake.wait()
            while not self._closing and (rest := not_before - time.monotonic()) > 0:
                self._wake.wait(rest)
            batch, self._waiting, self._waiting_bytes = self._waiting, [], 0
        return batch

    def _write(self, batch: list[Item]) -> None:
        """Append what has room, make it durable, and acknowledge. Raises `OSError`."""
        room = self._max_bytes - self.size()
        frames: list[tuple[bytes, Future[bool]]] = []
        full: list[Future[bool]] = []
        for data, kept in batch:
            framed = frame(data)
            if len(framed) > room:
                full.append(kept)
            else:
                room -= len(framed)
                frames.append((framed, kept))
        self._settle(full, "full")
        if not frames:
            return
        if self._segment is None:
            self._segment = SegmentWriter(self.folder)
        try:
            whole = self._segment.append([framed for framed, _ in frames])
        except OSError:
            self._seal()
            raise
        self._settle([kept for _, kept in frames[:whole]], None)
        self._settle([kept for _, kept in frames[whole:]], "disk")
        if self._segment.length >= self._segment_bytes:
            self._seal()

    def _settle(self, kept: list[Future[bool]], cause: str | None) -> None:
        with self._wake:
            if cause is None:
                self.counts.durable += len(kept)
            elif kept:
                self.counts.dropped[cause] += len(kept)
        for one in kept:
            one.set_result(cause is None)

    def _seal(self) -> None:
        if self._segment is not None:
            self._segment.seal()
            self._segment = None

    def _seal_leftovers(self) -> None:
        """Segments of a process that is gone: nobody appends to them again."""
        for _, path in segments(self.folder):
            if path.suffix == OPEN:
                path.rename(path.with_suffix(SEALED))
