"""From the spool to where traces go: in order, each at least once, and then deleted.

What arrives twice is stored once, by its request id. So a segment is shipped again from its
beginning after any crash, and deleted only when all of it is committed.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path

from server.traces.destinations import Destination
from server.traces.errors import AwayError, RefusedError
from server.traces.lock import FolderLock
from server.traces.reading import RecordError
from server.traces.segment import OPEN, SegmentReader, frame, segments
from server.traces.status import ShippingStatus
from server.traces.trace import Trace

log = logging.getLogger("concordance.traces")

POLL = 0.2
"""Seconds between two looks at a spool in which nothing new was."""
BATCH = 2**20
"""Bytes that are shipped together, give or take a trace."""
LONGEST_PAUSE = 5.0
REFUSED = "refused.frames"
"""Traces that were refused for good, kept as they were, as frames of a segment."""
MAX_REFUSED = 64 * 2**20


def pause_after(attempt: int) -> float:
    """Seconds to wait after so many failures in a row: twice as long each time, to a limit."""
    return min(LONGEST_PAUSE, 0.1 * 2.0 ** min(attempt, 10)) * random.uniform(0.5, 1.0)


class Shipper:
    """The one process that ships a spool. Raises `SpoolInUseError` if there is another."""

    def __init__(self, folder: Path, destination: Destination) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.folder = folder
        self.status = ShippingStatus(pid=os.getpid())
        self._destination = destination
        self._lock = FolderLock(folder / "ingest.lock", "ships")
        self._readers: dict[int, SegmentReader] = {}
        self._stopping = asyncio.Event()
        self._saved = 0.0

    def stop(self) -> None:
        """Ship nothing more. What is on its way may arrive; nothing is lost."""
        self._stopping.set()

    async def run(self) -> None:
        """Ship what comes until stopped, waiting where the destination is away."""
        try:
            while not self._stopping.is_set():
                if not await self._patiently(self.ship_what_is_there):
                    await self._patiently(self._destination.tend)
                    await self._wait(POLL)
        finally:
            await self.close()

    async def ship_what_is_there(self) -> int:
        """One pass over the spool. Returns how many traces were shipped. Raises `AwayError`."""
        shipped = 0
        for number, path in segments(self.folder):
            sealed = path.suffix != OPEN
            try:
                reader = self._readers.get(number) or SegmentReader(path)
            except FileNotFoundError:
                break  # sealed just now: the next pass finds it under its new name
            self._readers[number] = reader
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
            self.status.segment, self.status.position = number, reader.position
            shipped += len(payloads)
            if not payloads:
                break
        return shipped

    async def _deliver(self, payloads: Sequence[bytes]) -> None:
        """Send traces; set aside what can never be sent. Raises `AwayError`."""
        traces: list[Trace] = []
        good: list[bytes] = []
        for payload in payloads:
            try:
                traces.append(Trace.decode(payload))
                good.append(payload)
            except RecordError as error:
                self._set_aside(payload, error)
        await self._send(traces, good)

    async def _send(self, traces: Sequence[Trace], payloads: Sequence[bytes]) -> None:
        """If some are refused, find out which: by halves, down to each of them."""
        if not traces:
            return
        try:
            await self._destination.send(traces)
        except RefusedError as error:
            if len(traces) == 1:
                return self._set_aside(payloads[0], error)
            half = len(traces) // 2
            await self._send(traces[:half], payloads[:half])
            await self._send(traces[half:], payloads[half:])
        else:
            self.status.shipped += len(traces)

    def _set_aside(self, payload: bytes, error: Exception) -> None:
        """Keep what is refused, while there is room. Raises `AwayError` where it cannot be kept."""
        path = self.folder / REFUSED
        log.error("a trace is refused for good and goes to %s: %s", path, error)
        try:
            with path.open("ab") as file:
                if file.tell() < MAX_REFUSED:
                    file.write(frame(payload))
                    file.flush()
                    os.fsync(file.fileno())
        except OSError as problem:
            raise AwayError(f"{path}: {problem}") from problem
        self.status.refused += 1

    def _forget(self, number: int, path: Path) -> None:
        """All of a sealed segment is committed."""
        self._readers.pop(number).close()
        path.unlink(missing_ok=True)

    async def _patiently(self, work: Callable[[], Awaitable[int | None]]) -> int:
        """Do it until the destination is there. Returns what it returned, 0 if stopped before."""
        attempt = 0
        while not self._stopping.is_set():
            try:
                done = await work()
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
            return int(done or 0)
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
            log.warning("how far shipping has come cannot be written down: %s", error)
