"""A shipper goes on where the one before it stopped: what has arrived is not sent again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import httpx
import pytest

from server.traces import shipper as shipper_module
from server.traces.database import Database, fixed
from server.traces.destinations import HttpDestination, PostgresDestination
from server.traces.errors import UnknownTraceError
from server.traces.segment import frame, segments
from server.traces.shipper import Shipper
from server.traces.spool import Spool
from server.traces.status import ShippingStatus, lag
from server.traces.store import Store
from server.traces.trace import Trace
from tests.server.traces.making import made
from tests.server.traces.test_shipper import NAMES, Pigeonhole, fill, ship


@pytest.fixture
def hole() -> Pigeonhole:
    return Pigeonhole()


async def test_the_next_process_goes_on_where_the_last_one_stopped(
    tmp_path: Path, hole: Pigeonhole
) -> None:
    spool = Spool(tmp_path)
    for name in NAMES:
        fill(spool, name)
        await ship(tmp_path, hole)
    spool.close()
    await ship(tmp_path, hole)
    assert hole.taken == NAMES
    assert segments(tmp_path) == []


async def test_another_server_is_not_sent_again_what_it_took(tmp_path: Path) -> None:
    posts: list[httpx.Request] = []

    def take(request: httpx.Request) -> httpx.Response:
        posts.append(request)
        return httpx.Response(422 if len(posts) == 1 else 201)

    spool = Spool(tmp_path)
    fill(spool, "one", "two")
    for _ in range(3):
        await ship(tmp_path, HttpDestination("http://host", httpx.MockTransport(take)))
    tries = len(posts)
    assert tries == 3, "both were sent together, then each alone"
    spool.close()
    await ship(tmp_path, HttpDestination("http://host", httpx.MockTransport(take)))
    assert len(posts) == tries


async def test_a_deleted_trace_does_not_come_back_at_the_next_start(
    tmp_path: Path, url: str, database: Database
) -> None:
    spool, store = Spool(tmp_path), Store(database)
    fill(spool, "one", "two")
    await ship(tmp_path, PostgresDestination(fixed(url)))
    await store.delete("one")
    spool.close()
    await ship(tmp_path, PostgresDestination(fixed(url)))
    with pytest.raises(UnknownTraceError):
        await store.read("one")
    async with database.connection() as connection:
        assert await connection.fetchval("select sum(requests) from request_hours") == 2


@pytest.mark.parametrize(
    "told",
    [
        None,
        "{half",
        '{"segment": SEGMENT, "position": "far"}',
        '{"segment": SEGMENT, "position": 1000000}',
        '{"segment": SEGMENT, "position": -16}',
        '{"segment": SEGMENT, "position": 17}',
        '{"segment": 7, "position": 0}',
    ],
)
async def test_a_position_that_cannot_be_right_means_the_beginning(
    tmp_path: Path, hole: Pigeonhole, told: str | None
) -> None:
    spool = Spool(tmp_path)
    fill(spool, *NAMES)
    if told is not None:
        number = segments(tmp_path)[0][0]
        (tmp_path / "ingest.json").write_text(told.replace("SEGMENT", str(number)))
    shipper = Shipper(tmp_path, hole)
    await shipper.ship_what_is_there()
    assert (hole.taken, shipper.status.damaged, lag(tmp_path)) == (NAMES, 0, 0)
    await shipper.close()
    spool.close()


async def test_the_position_is_on_disk_after_each_commit_and_never_before(
    tmp_path: Path, hole: Pigeonhole, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shipper_module, "BATCH", 1)  # a trace at a time
    sizes = [len(frame(made(name).encode())) for name in NAMES]
    send, seen = hole.send, []

    async def watched(traces: Sequence[Trace]) -> None:
        if traces:
            seen.append(ShippingStatus.load(tmp_path).position)
        await send(traces)

    monkeypatch.setattr(hole, "send", watched)
    spool = Spool(tmp_path)
    fill(spool, *NAMES)
    shipper = Shipper(tmp_path, hole)
    await shipper.ship_what_is_there()
    assert seen == [sum(sizes[:number]) for number in range(len(NAMES))]
    assert ShippingStatus.load(tmp_path).position == sum(sizes)
    await shipper.close()
    spool.close()
