"""Whole rows, measured on servers of ours whose costs are known."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from bench.row import Finding
from bench.rows import ROWS, traces
from bench.run import Run, Scale
from server.traces.status import ShippingStatus
from tests.bench.fake_server import RESTART_STEPS, FakeServer, fakes

BY_NAME = {row.name: row for row in ROWS}
SMALL = Scale(rounds=2, work=0.2)
STUCK = 300.0
"""Seconds after which a row is not slow but stuck: some twenty times what the longest takes."""


async def measure(name: str, **sides: FakeServer) -> Finding:
    async with asyncio.timeout(STUCK), fakes(**(sides or {"ours": FakeServer()})) as servers:
        return await BY_NAME[name].measure(Run(servers, SMALL))


async def test_servers_that_are_alike_are_about_as_fast() -> None:
    found = await measure("stock-16", ours=FakeServer(), stock=FakeServer())
    assert 0.2 < found.estimate.value < 5
    assert found.floor is not None
    assert 0.2 < found.floor.value < 5
    assert found.facts["tokens_per_second"][0] > 100


async def test_servers_that_write_different_tokens_are_not_timed() -> None:
    with pytest.raises(RuntimeError, match="the sides write different tokens"):
        await measure("stock-1", ours=FakeServer(), stock=FakeServer(wrong=True))


async def test_a_mod_s_row_uploads_the_mod_once_and_asks_for_so_many_at_once() -> None:
    fake = FakeServer()
    found = await measure("branches-16", ours=fake)
    assert len(fake.uploaded) == 1
    assert fake.most == 16
    assert 0.2 < found.estimate.value < 5


async def test_neighbours_are_measured_beside_requests_with_the_mod() -> None:
    found = await measure("neighbours")
    assert 0.2 < found.estimate.value < 5
    assert found.facts["tpot_ms"][0] > 3


async def test_a_run_that_enters_at_once_is_as_many_times_faster_as_it_saves_steps() -> None:
    found = await measure("forced-64")
    assert found.estimate.value > 65 / RESTART_STEPS / 3
    assert found.facts["step_ms"] == pytest.approx(4, rel=1)


@pytest.fixture
def shipped_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server's home, in which a writer has shipped all there is."""
    spool = tmp_path / "spool"
    spool.mkdir()
    ShippingStatus(shipped=1).save(spool)
    monkeypatch.setattr(traces, "home_of", lambda server: tmp_path)
    monkeypatch.setattr(traces, "LINGER", 0.0)


@pytest.mark.usefixtures("shipped_home")
@pytest.mark.parametrize("level", ["tokens", "full"])
async def test_what_tracing_costs_is_seen_on_one_server(level: str) -> None:
    fake = FakeServer(tracing=8.0)
    found = await measure(f"traces-{level}", ours=fake)
    assert found.estimate.value < 0.8
    assert found.floor is not None
    assert fake.levels[level] > 2 * 2 * 16
    assert set(fake.levels) == {"off", level}


@pytest.mark.usefixtures("shipped_home")
async def test_traces_that_are_not_kept_are_no_result() -> None:
    with pytest.raises(RuntimeError, match="requests left 0 traces"):
        await measure("traces-tokens", ours=FakeServer(loses=True))


@pytest.mark.parametrize("name", ["backtrack-512", "backtrack-512-busy"])
async def test_a_backtrack_is_seen_to_take_the_steps_that_it_takes(name: str) -> None:
    fake = FakeServer()
    found = await measure(name, ours=fake)
    # The mean goes astray where the machine stands still for a moment.
    assert 1.5 < found.facts["steps_median"] < 2 * RESTART_STEPS
    assert fake.most == (64 if "busy" in name else 1)
    assert fake.running == 0, "neighbours are taken away again"


async def test_a_queue_is_as_long_as_the_row_says() -> None:
    fake = FakeServer()
    found = await measure("backtrack-queued", ours=fake)
    assert fake.most == 128
    assert found.facts["steps_alone"]["value"] > 1.5
