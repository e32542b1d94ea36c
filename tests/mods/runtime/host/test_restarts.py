"""Hosts that fall: they start again later and later, and somebody is told."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from mods.runtime.decisions import Resume
from mods.runtime.host.pool import HostPool
from mods.runtime.host.restarts import LONGEST_PAUSE, WINDOW, Restarts
from mods.runtime.package import Package
from mods.sdk.errors import HostError
from tests.mods.runtime.host.acting import NOOP, alive, host_of, package, spec, until_dead
from tests.mods.runtime.host.conftest import TOKENIZER


def test_the_first_restart_is_at_once_and_each_later_one_waits_twice_as_long() -> None:
    restarts = Restarts()
    pauses = []
    for fall in range(8):
        now = float(fall)
        assert restarts.fell("a", now) == fall + 1
        pauses.append(restarts.pause("a", now))
    assert pauses == [0.0, 0.25, 0.5, 1.0, 2.0, *[LONGEST_PAUSE] * 3]
    assert restarts.pause("b", 7.0) == 0.0


def test_a_pause_runs_out_and_a_fall_is_forgotten() -> None:
    restarts = Restarts()
    for _ in range(3):
        restarts.fell("a", 10.0)
    assert restarts.pause("a", 10.2) == pytest.approx(0.3)
    assert restarts.pause("a", 11.0) == 0.0
    assert restarts.fell("a", 10.0 + WINDOW) == 1
    restarts.forget("a")
    assert restarts.fell("a", 11.0 + WINDOW) == 1


def test_keys_that_were_not_seen_for_long_do_not_pile_up() -> None:
    restarts = Restarts()
    for key in range(10_500):
        restarts.fell(key, 0.0)
    assert len(restarts._falls) <= 10_000


FALLS = package("import os; os._exit(3)")


async def test_a_fall_is_told_with_the_mod_that_ran_and_the_next_start_waits(
    pool: HostPool,
) -> None:
    told: list[tuple[str, str, str]] = []
    pool.fallen = lambda caller, package, why: told.append((caller, package.name, why))
    first = package(NOOP)
    chain = [Package.from_files(first.files, name="harmless"), FALLS]
    began = time.monotonic()
    for session in range(3):
        host = await host_of(pool, "anna", chain, {})
        with pytest.raises(HostError, match="exit code 3"):
            await host.open(spec(session))
    assert time.monotonic() - began >= 0.25
    assert [(caller, name) for caller, name, _ in told] == [("anna", "tested")] * 3
    assert "exit code 3" in told[0][2]
    neighbour = await host_of(pool, "bert", chain[:1], {})
    assert isinstance(await neighbour.open(spec(9)), Resume)


async def test_what_is_stopped_on_purpose_did_not_fall(run_dir: Path) -> None:
    pool = HostPool(run_dir, TOKENIZER, max_hosts=1, idle_seconds=0.2)
    told: list[str] = []
    pool.fallen = lambda caller, package, why: told.append(why)
    await pool.start()
    try:
        await pool.check([package(NOOP)], {})
        host = await host_of(pool, "anna", [package(NOOP)], {})
        await asyncio.wait_for(host.gone.wait(), 20)
    finally:
        await pool.stop()
    assert told == []


async def test_a_check_leaves_no_host_behind(pool: HostPool) -> None:
    (traits,) = await pool.check([package(NOOP, "reach=7")], {})
    assert traits.reach == 7
    for _ in range(100):
        if not pool._hosts:
            return
        await asyncio.sleep(0.01)
    raise AssertionError(pool._hosts)


SPINS = """\
global loop
if event.name == 'Prefilled':
    import gc
    loop = [found for found in gc.get_objects() if type(found).__name__ == 'HostLoop'][0]
    kept = type(loop)._read_api
    def read(self, *wait):
        while not self._waiting and getattr(self, 'spins', False):
            if self._selector.select(0):
                break
        kept(self, *wait)
    type(loop)._read_api = read
if event.name == 'Finished':
    loop.spins = True
return actions.noop()"""


async def test_a_host_that_is_busy_while_nobody_asks_is_stopped(
    pool: HostPool,
) -> None:
    told: list[str] = []
    pool.fallen = lambda caller, package, why: told.append(why)
    host = await host_of(pool, "anna", [package(SPINS, before="loop = None")], {})
    quiet = await host_of(pool, "bert", [package(NOOP)], {})
    for one in (host, quiet):
        await one.open(spec(1))
        await one.close(1, "done")
    await until_dead(host.pid, seconds=12.0)
    assert told
    assert "nobody asked" in told[0]
    assert alive(quiet.pid)
