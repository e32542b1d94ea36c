"""While Postgres is away under load nothing is lost, nothing grows, and nobody waits for it."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from server.postgres.embedded import EmbeddedPostgres
from server.traces.database import Database
from server.traces.spool import Spool
from server.traces.status import lag
from server.traces.store import Store
from tests.server.traces.spooling_child import numbered

ROOT = Path(__file__).parents[3]
EVENTS_A_SECOND = 2000
TICK = 0.01
EACH = 20
"""Every so many traces one is compared byte for byte."""
MEBIBYTE = 2**20


@dataclass
class Stretch:
    """Some seconds of load: how long appending took, how late the loop was, how large all got.

    appends, gaps: seconds; the latter between two turns of the loop, beyond those it slept for.
    memory: bytes, of this process and of the writer, once a second.
    """

    appends: list[float] = field(default_factory=list)
    gaps: list[float] = field(default_factory=list)
    memory: list[tuple[int, int]] = field(default_factory=list)

    def __str__(self) -> str:
        ours, writers = self.memory[0], self.memory[-1]
        late = sum(gap > 0.05 for gap in self.gaps)
        return (
            f"{len(self.appends)} traces; longest append {1e3 * max(self.appends):.1f} ms, longest"
            f" gap of the loop {1e3 * max(self.gaps):.1f} ms, {late} of {len(self.gaps)} above"
            f" 50 ms; memory of the process"
            f" {ours[0] // MEBIBYTE} → {writers[0] // MEBIBYTE} MiB, of the writer"
            f" {ours[1] // MEBIBYTE} → {writers[1] // MEBIBYTE} MiB"
        )


class Load:
    """Traces at `EVENTS_A_SECOND`, from an event loop, as a server appends them."""

    def __init__(self, spool: Spool, writer: int) -> None:
        self.names: list[str] = []
        self.told = Counter[bool]()
        """Whether traces became durable. Their futures, two kilobytes each, are not held."""
        self._spool, self._writer = spool, writer

    async def run(self, seconds: float) -> Stretch:
        done, began, tokens = Stretch(), time.monotonic(), 0
        while (now := time.monotonic()) < began + seconds:
            while tokens < EVENTS_A_SECOND * (now - began):
                tokens += self._append(done)
            if len(done.memory) <= now - began:
                done.memory.append((resident(os.getpid()), resident(self._writer)))
            asked = time.monotonic()
            await asyncio.sleep(TICK)
            done.gaps.append(time.monotonic() - asked - TICK)
        return done

    def _append(self, done: Stretch) -> int:
        """Returns the trace's tokens."""
        name = f"load-{len(self.names)}"
        trace = numbered(name)
        began = time.perf_counter()
        kept = self._spool.append(trace)
        done.appends.append(time.perf_counter() - began)
        self.names.append(name)
        kept.add_done_callback(self._tell)
        return len(trace.story)

    def _tell(self, kept: Future[bool]) -> None:
        self.told[kept.result()] += 1


def resident(pid: int) -> int:
    """Bytes of memory that a process holds."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@contextmanager
def writer(folder: Path, url: str) -> Iterator[int]:
    """The real one, which may not start Postgres itself. Gives its process id."""
    environment = {**os.environ, "CONCORDANCE_HOME": str(folder.parent), "DATABASE_URL": url}
    command = [sys.executable, "-m", "server.cli", "ingest", "--spool", str(folder)]
    with (folder.parent / "writer.log").open("ab") as log:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
    try:
        yield process.pid
    finally:
        process.terminate()
        process.wait(60)


async def until(condition: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.1)


async def check(url: str, names: list[str]) -> None:
    """Every trace is there, once, and each twentieth byte for byte."""
    database = await Database.open(url)
    async with database.connection() as connection:
        stored = await connection.fetch("select request_id from traces")
    assert sorted(row["request_id"] for row in stored) == sorted(names)
    store = Store(database)
    for name in names[::EACH]:
        assert (await store.read(name)).trace.encode() == numbered(name).encode()
    await database.close()


async def outlast(home: Path, away: float) -> dict[str, Stretch]:
    """Load while Postgres is there, while it is away for so many seconds, and when it is back."""
    postgres = EmbeddedPostgres(home)
    url = await asyncio.to_thread(postgres.start)
    spool = Spool(home / "spool")
    try:
        with writer(spool.folder, url) as pid:
            load = Load(spool, pid)
            stretches = {"before": await load.run(3)}
            await asyncio.to_thread(postgres.stop)
            stretches["away"] = await load.run(away)
            await asyncio.to_thread(postgres.start)
            stretches["after"] = await load.run(3)
            await until(lambda: load.told.total() == len(load.names), 30)
            await until(lambda: lag(spool.folder) == 0, 120 + away)
            await asyncio.sleep(1.5)  # how far it is, the writer says once a second
        assert not load.told[False]
        assert not spool.counts.dropped
        await check(url, load.names)
    finally:
        spool.close()
        await asyncio.to_thread(postgres.stop)
    for name, stretch in stretches.items():
        print(f"{name}: {stretch}")
    return stretches


async def test_five_seconds_without_postgres_lose_nothing(home: Path) -> None:
    await outlast(home, 5)


@pytest.mark.prove
async def test_ten_minutes_without_postgres_lose_nothing_and_need_no_memory(home: Path) -> None:
    """How long the longest append and the longest gap were is said; a slow machine is no failure.

    What the test itself remembers of each trace, its name and its times, is a few MiB.
    """
    stretch = (await outlast(home, 600))["away"]
    settled = stretch.memory[min(5, len(stretch.memory) - 1)]
    for now, then in zip(stretch.memory[-1], settled, strict=True):
        assert now - then < 64 * MEBIBYTE
