"""From the spool to where traces go: in order, each at least once, and then deleted.

How far it has come is written down after each commit, and the next process goes on there: a trace
that was deleted since must not come back. What a crash in between has sent twice is stored once, by
its request id. A segment is deleted only when all of it is committed.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from server.traces.destinations import Destination
from server.traces.errors import AwayError, RefusedError
from server.traces.lock import FolderLock
from server.traces.reading import RecordError
from server.traces.segment import MARK, OPEN, SegmentReader, frame, segments
from server.traces.status import ShippingStatus
from server.traces.trace import Trace

log = logging.getLogger("concordance.traces")

POLL = 0.2
"""Seconds between two looks at a spool in which nothing new was."""
BATCH = 2**20
"""Bytes that are shipped together, give or take a trace."""
LONGEST_PAUSE = 5.0
TEND_PAUSE = 30.0
"""Seconds after which a destination that could not be tended is tended again."""
REFUSED = "refused.frames"
"""Traces that were refused for good, kept as they were, as frames of a segment."""
MAX_REFUSED = 64 * 2**20

Refused = tuple[bytes, Exception]
"""A payload, and why it can never be sent."""


def pause_after(attempt: int) -> float:
    """Seconds to wait after so many failures in a row: twice as long each time, to a limit."""
    return min(LONGEST_PAUSE, 0.1 * 2.0 ** min(attempt, 10)) * random.uniform(0.5, 1.0)


class Shipper:
    """The one process that ships a spool. Raises `SpoolInUseError` if there is another."""

    def __init__(self, folder: Path, destination: Destination) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.folder = folder
        self._destination = destination
        self._lock = FolderLock(folder / "ingest.lock", "ships")
        last = ShippingStatus.load(folder)
        self.status = ShippingStatus(os.getpid(), last.segment, last.position)
        self._readers: dict[int, SegmentReader] = {}
        self._stopping = asyncio.Event()
        self._tend_at = self._saved = 0.0
        self._unsaved = False

    def stop(self) -> None:
        """Ship nothing more. What is on its way may arrive; nothing is lost."""
        self._stopping.set()

    async def run(self) -> None:
        """Ship what comes until stopped, waiting where the destination is away."""
        try:
            while not self._stopping.is_set():
                shipped = await self._ship_patiently()
                await self._tend()
                if not shipped:
                    await self._wait(POLL)
        finally:
            await self.close()

    async def ship_what_is_there(self) -> int:
        """One pass over the spool. Returns how many traces were shipped. Raises `AwayError`."""
        shipped = 0
        for number, path in segments(self.folder):
            sealed = path.suffix != OPEN
            try:
                reader = self._readers.get(number) or self._reader(number, path)
            except FileNotFoundError:
                break  # sealed just now: the next pass finds it under its new name
            shipped += await self._ship(number, reader, sealed)
            if self._stopping.is_set():
                break
            if sealed:
                self._forget(number, path)
        self._save_status()
        return shipped

    async def close(self) -> None:
        """Let go of everything. Safe to call twice."""
        for reader in self._readers.values():
            reader.close()
        self._readers.clear()
        await self._destination.close()
        self._save_status(at_once=True)
        self._lock.release()

    def _reader(self, number: int, path: Path) -> SegmentReader:
        """Where the process before this one stopped, if that was in this segment; else byte 0."""
        reader = SegmentReader(path)
        if number == self.status.segment:
            try:
                reader.position = _resumable(path, self.status.position)
            except FileNotFoundError:
                reader.close()
                raise
            self.status.position = reader.position
        self._readers[number] = reader
        return reader

    async def _ship(self, number: int, reader: SegmentReader, sealed: bool) -> int:
        """Ship what a segment holds. The reader goes on only behind what was committed."""
        shipped = 0
        while not self._stopping.is_set():
            position, damaged = reader.position, reader.damaged
            payloads = reader.read(final=sealed, limit=BATCH)
            lost = reader.damaged - damaged
            try:
                await self._deliver(payloads)
            except AwayError:
                reader.position, reader.damaged = position, damaged
                raise
            if lost:
                log.error("segment %d: %d torn or damaged traces are lost", number, lost)
            self.status.damaged += lost
            if reader.position != position:
                self.status.segment, self.status.position = number, reader.position
                self._save_status(at_once=True)
            shipped += len(payloads)
            if not payloads:
                break
        return shipped

    async def _deliver(self, payloads: Sequence[bytes]) -> None:
        """Send traces; when all have arrived, set aside what can never be sent.

        Raises `AwayError`; then nothing is set aside or counted, and all will be tried again.
        """
        traces: list[Trace] = []
        good: list[bytes] = []
        refused: list[Refused] = []
        for payload in payloads:
            try:
                traces.append(Trace.decode(payload))
                good.append(payload)
            except RecordError as error:
                refused.append((payload, error))
        refused += await self._send(traces, good)
        if refused:
            self._set_aside(refused)
        self.status.shipped += len(payloads) - len(refused)
        self.status.refused += len(refused)

    async def _send(self, traces: Sequence[Trace], payloads: Sequence[bytes]) -> list[Refused]:
        """Returns what is refused: found out by halves, down to each of them."""
        if not traces:
            return []
        try:
            await self._destination.send(traces)
        except RefusedError as error:
            if len(traces) == 1:
                return [(payloads[0], error)]
            half = len(traces) // 2
            first = await self._send(traces[:half], payloads[:half])
            return first + await self._send(traces[half:], payloads[half:])
        return []

    def _set_aside(self, refused: Sequence[Refused]) -> None:
        """Keep what is refused, while there is room. Raises `AwayError` where it cannot be kept."""
        path = self.folder / REFUSED
        for _, error in refused:
            log.error("a trace is refused for good and goes to %s: %s", path, error)
        try:
            with path.open("ab") as file:
                if file.tell() < MAX_REFUSED:
                    file.write(b"".join(frame(payload) for payload, _ in refused))
                    file.flush()
                    os.fsync(file.fileno())
        except OSError as problem:
            raise AwayError(f"{path}: {problem}") from problem

    def _forget(self, number: int, path: Path) -> None:
        """All of a sealed segment is committed."""
        self._readers.pop(number).close()
        path.unlink(missing_ok=True)

    async def _tend(self) -> None:
        """Traces are shipped also where this fails; it is tried again later."""
        if self._stopping.is_set() or time.monotonic() < self._tend_at:
            return
        try:
            await self._destination.tend()
        except AwayError as error:
            self._tend_at = time.monotonic() + TEND_PAUSE
            log.warning("old traces are not dropped now, trying again soon: %s", error)

    async def _ship_patiently(self) -> int:
        """One pass, tried until the destination is there. Returns how many traces were shipped."""
        attempt = 0
        while not self._stopping.is_set():
            try:
                shipped = await self.ship_what_is_there()
            except AwayError as error:
                if attempt in (0, 5) or attempt % 60 == 0:
                    log.warning("waiting for where traces go, attempt %d: %s", attempt + 1, error)
                self.status.away = True
                self._save_status()
                await self._wait(pause_after(attempt))
                attempt += 1
                continue
            if attempt:
                log.info("traces are shipped again")
            self.status.away = False
            return shipped
        return 0

    async def _wait(self, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)

    def _save_status(self, *, at_once: bool = False) -> None:
        if not at_once and time.monotonic() < self._saved + 1.0:
            return
        self._saved = time.monotonic()
        try:
            self.status.save(self.folder)
        except OSError as error:
            if not self._unsaved:
                log.warning("how far shipping has come cannot be written down: %s", error)
            self._unsaved = True
        else:
            self._unsaved = False


def _resumable(path: Path, position: int) -> int:
    """The position, if a frame begins or the segment ends there; else 0: it is of something else.

    Raises `FileNotFoundError`.
    """
    with path.open("rb") as segment:
        size = segment.seek(0, os.SEEK_END)
        if not 0 <= position <= size:
            return 0
        segment.seek(position)
        return position if segment.read(len(MARK)) in (MARK, b"") else 0
