"""Shipping: in order, each trace once, whatever is away, refused, torn or in the way."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from server.traces import shipper as shipper_module
from server.traces.database import Database, fixed
from server.traces.destinations import Destination, PostgresDestination
from server.traces.errors import AwayError, RefusedError, SpoolInUseError
from server.traces.segment import SegmentReader, SegmentWriter, frame, segments
from server.traces.shipper import LONGEST_PAUSE, REFUSED, Shipper, pause_after
from server.traces.spool import Spool
from server.traces.status import ShippingStatus, lag
from server.traces.store import Store
from server.traces.trace import Trace
from tests.server.traces.making import made


class Pigeonhole:
    """A destination that remembers what it took, and can be away or picky."""

    def __init__(self) -> None:
        self.taken: list[str] = []
        self.away = self.untended = False
        self.refuses: set[str] = set()
        self.batches: list[int] = []
        self.tended = 0
        self.closed = False

    async def send(self, traces: Sequence[Trace]) -> None:
        await asyncio.sleep(0)
        names = [trace.request.request_id for trace in traces]
        if self.away:
            raise AwayError("not there")
        self.batches.append(len(names))
        if self.refuses & set(names):
            raise RefusedError("not that one")
        self.taken += names

    async def tend(self) -> None:
        self.tended += 1
        if self.untended:
            raise AwayError("out of locks")

    async def close(self) -> None:
        self.closed = True


@pytest.fixture
def hole() -> Pigeonhole:
    return Pigeonhole()


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    spool = Spool(tmp_path, segment_bytes=600)
    yield spool
    spool.close()


def fill(spool: Spool, *names: str) -> None:
    assert all(one.result(5) for one in [spool.append(made(name)) for name in names])


@asynccontextmanager
async def shipping(folder: Path, hole: Pigeonhole) -> AsyncIterator[Shipper]:
    shipper = Shipper(folder, hole)
    task = asyncio.create_task(shipper.run())
    yield shipper
    shipper.stop()
    await asyncio.wait_for(task, 50)


async def until(condition: Callable[[], object], seconds: float = 10) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


NAMES = [f"r{n}" for n in range(12)]


async def test_what_is_spooled_arrives_in_order(spool: Spool, hole: Pigeonhole) -> None:
    async with shipping(spool.folder, hole):
        for name in NAMES:
            fill(spool, name)
        await until(lambda: len(hole.taken) == len(NAMES))
        await until(lambda: len(segments(spool.folder)) <= 1)
    assert hole.taken == NAMES
    assert hole.closed
    assert hole.tended


async def test_a_trace_arrives_while_its_segment_still_grows(
    spool: Spool, hole: Pigeonhole
) -> None:
    async with shipping(spool.folder, hole):
        fill(spool, "one")
        await until(lambda: hole.taken == ["one"], 2)
        assert [path.suffix for _, path in segments(spool.folder)] == [".open"]


async def test_a_sealed_segment_is_deleted_once_it_is_sent(spool: Spool, hole: Pigeonhole) -> None:
    for name in NAMES:
        fill(spool, name)
    spool.close()
    shipper = Shipper(spool.folder, hole)
    hole.away = True
    with pytest.raises(AwayError):
        await shipper.ship_what_is_there()
    assert len(segments(spool.folder)) > 1
    hole.away = False
    assert await shipper.ship_what_is_there() == len(NAMES)
    assert segments(spool.folder) == []
    await shipper.close()


async def test_what_is_away_is_asked_again(
    spool: Spool, hole: Pigeonhole, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shipper_module, "pause_after", lambda attempt: 0.01)
    hole.away = True
    fill(spool, *NAMES)
    async with shipping(spool.folder, hole) as shipper:
        await until(lambda: shipper.status.away)
        fill(spool, "late")
        hole.away = False
        await until(lambda: len(hole.taken) == len(NAMES) + 1)
        assert not shipper.status.away
    assert hole.taken == [*NAMES, "late"]


async def test_what_cannot_be_tended_holds_no_trace_up(
    spool: Spool, hole: Pigeonhole, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shipper_module, "TEND_PAUSE", 0.01)
    hole.untended = True
    async with shipping(spool.folder, hole) as shipper:
        await until(lambda: hole.tended > 1)
        fill(spool, "one")
        await until(lambda: hole.taken == ["one"], 2)
        assert not shipper.status.away


def test_pauses_grow_to_a_limit() -> None:
    assert 0.05 <= pause_after(0) <= 0.1
    assert pause_after(3) > pause_after(0)
    assert 0.5 * LONGEST_PAUSE <= pause_after(10**6) <= LONGEST_PAUSE


async def test_stopping_does_not_wait_for_what_is_away(spool: Spool, hole: Pigeonhole) -> None:
    hole.away = True
    fill(spool, "one")
    async with shipping(spool.folder, hole) as shipper:
        await until(lambda: shipper.status.away)
    assert len(segments(spool.folder)) == 1


async def test_what_is_refused_is_set_aside_and_holds_nothing_up(
    spool: Spool, hole: Pigeonhole
) -> None:
    hole.refuses = {"r3", "r7"}
    fill(spool, *NAMES)
    spool.close()
    shipper = Shipper(spool.folder, hole)
    await shipper.ship_what_is_there()
    await shipper.close()
    assert sorted(hole.taken) == sorted(set(NAMES) - hole.refuses)
    assert (shipper.status.shipped, shipper.status.refused) == (10, 2)
    aside = SegmentReader(spool.folder / REFUSED)
    kept = [Trace.decode(payload).request.request_id for payload in aside.read(final=True)]
    aside.close()
    assert kept == ["r3", "r7"]
    assert segments(spool.folder) == []


async def test_what_is_refused_and_cannot_be_set_aside_waits(
    spool: Spool, hole: Pigeonhole, monkeypatch: pytest.MonkeyPatch
) -> None:
    hole.refuses = {"r0"}
    fill(spool, "r0")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "no room")

    shipper = Shipper(spool.folder, hole)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(AwayError, match="no room"):
            await shipper.ship_what_is_there()
    assert await shipper.ship_what_is_there() == 1
    assert shipper.status.refused == 1
    await shipper.close()


async def test_what_is_refused_is_set_aside_once_whatever_is_away_and_whoever_restarts(
    tmp_path: Path, hole: Pigeonhole, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = Spool(tmp_path)
    hole.refuses = {"r3"}
    fill(spool, *NAMES)
    with monkeypatch.context() as patch:
        patch.setattr(hole, "send", _away_after(hole, 4))
        shipper = Shipper(tmp_path, hole)
        with pytest.raises(AwayError):
            await shipper.ship_what_is_there()
        assert shipper.status.shipped == shipper.status.refused == 0
    await shipper.ship_what_is_there()
    assert (shipper.status.shipped, shipper.status.refused) == (11, 1)
    await shipper.close()
    await ship(tmp_path, hole)
    aside = SegmentReader(tmp_path / REFUSED)
    assert len(aside.read(final=True)) == 1
    aside.close()
    assert ShippingStatus.load(tmp_path).refused == 0
    spool.close()


def _away_after(hole: Pigeonhole, sends: int) -> Callable[[Sequence[Trace]], Awaitable[None]]:
    """Takes part of a batch by halves, and is away before its end."""
    send, left = hole.send, iter(range(sends))

    async def sending(traces: Sequence[Trace]) -> None:
        if next(left, None) is None:
            raise AwayError("not there")
        await send(traces)

    return sending


async def ship(folder: Path, destination: Destination) -> None:
    """A whole life of a shipper."""
    shipper = Shipper(folder, destination)
    await shipper.ship_what_is_there()
    await shipper.close()


async def test_frames_that_are_no_traces_are_set_aside(tmp_path: Path, hole: Pigeonhole) -> None:
    writer = SegmentWriter(tmp_path)
    trace = made("good")
    writer.append([frame(b"\xc1"), frame(trace.encode()), frame(b"")])
    writer.seal()
    shipper = Shipper(tmp_path, hole)
    await shipper.ship_what_is_there()
    await shipper.close()
    assert hole.taken == ["good"]
    assert shipper.status.refused == 2


@pytest.mark.parametrize("cut", [1, 5, 17, 100])
async def test_a_torn_tail_is_counted_and_holds_nothing_up(
    tmp_path: Path, hole: Pigeonhole, cut: int
) -> None:
    writer = SegmentWriter(tmp_path)
    writer.append([frame(made(name).encode()) for name in ("one", "two")])
    writer.seal()
    path = segments(tmp_path)[0][1]
    path.write_bytes(path.read_bytes()[:-cut])
    later = SegmentWriter(tmp_path)
    later.append([frame(made("three").encode())])
    later.seal()
    shipper = Shipper(tmp_path, hole)
    await shipper.ship_what_is_there()
    await shipper.close()
    assert hole.taken == ["one", "three"]
    assert shipper.status.damaged == 1
    assert segments(tmp_path) == []


async def test_damage_is_counted_once_however_often_it_is_tried(
    tmp_path: Path, hole: Pigeonhole
) -> None:
    writer = SegmentWriter(tmp_path)
    writer.append([b"garbage!", frame(made("one").encode())])
    writer.seal()
    shipper = Shipper(tmp_path, hole)
    hole.away = True
    for _ in range(3):
        with pytest.raises(AwayError):
            await shipper.ship_what_is_there()
    hole.away = False
    await shipper.ship_what_is_there()
    await shipper.close()
    assert (shipper.status.damaged, hole.taken) == (1, ["one"])


async def test_a_second_shipper_is_refused(tmp_path: Path, hole: Pigeonhole) -> None:
    first = Shipper(tmp_path, hole)
    with pytest.raises(SpoolInUseError, match=f"process {os.getpid()} already ships"):
        Shipper(tmp_path, hole)
    await first.close()
    await Shipper(tmp_path, hole).close()


async def test_how_far_it_has_come_can_be_read(spool: Spool, hole: Pigeonhole) -> None:
    fill(spool, *NAMES)
    assert lag(spool.folder) == spool.size() > 0
    shipper = Shipper(spool.folder, hole)
    await shipper.ship_what_is_there()
    await shipper.close()
    assert lag(spool.folder) == 0
    status = ShippingStatus.load(spool.folder)
    assert (status.pid, status.shipped) == (os.getpid(), len(NAMES))
    fill(spool, "late")
    assert lag(spool.folder) > 0


def test_a_status_that_cannot_be_read_says_that_nothing_is_shipped(tmp_path: Path) -> None:
    (tmp_path / "ingest.json").write_text("{half")
    assert ShippingStatus.load(tmp_path) == ShippingStatus()


async def test_shipped_to_postgres_it_is_there_within_a_second(spool: Spool, url: str) -> None:
    shipper = Shipper(spool.folder, PostgresDestination(fixed(url)))
    task = asyncio.create_task(shipper.run())
    database = await Database.open(url)
    store = Store(database)
    for name in NAMES:
        fill(spool, name)
    await until(lambda: shipper.status.shipped == len(NAMES))
    for name in NAMES:
        assert (await store.read(name)).trace.request.request_id == name
    shipper.stop()
    await task
    await database.close()


async def test_a_segment_that_is_shipped_again_changes_nothing(
    spool: Spool, url: str, database: Database
) -> None:
    fill(spool, *NAMES)
    for _ in range(3):
        (spool.folder / "ingest.json").unlink(missing_ok=True)
        shipper = Shipper(spool.folder, PostgresDestination(fixed(url)))
        if segments(spool.folder)[0][1].suffix == ".sealed":
            segments(spool.folder)[0][1].rename(spool.folder / "00000000000000000001.open")
        await shipper.ship_what_is_there()
        await shipper.close()
    async with database.connection() as connection:
        counted = await connection.fetchval("select count(*) from traces")
        tallied = await connection.fetchval("select sum(requests) from request_hours")
    assert counted == tallied == len(NAMES)
