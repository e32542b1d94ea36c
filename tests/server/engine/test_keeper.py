"""When an engine counts as dead, what its keeper does then, and in which order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from server.engine import keeper as keeping
from server.engine.keeper import EngineKeeper


class Actor:
    """An engine that does as it is told, and writes down what is done to it."""

    def __init__(self) -> None:
        self.is_dead = self.is_stopped = self.silent = False
        self.fails = 0
        self.rate = 0.0
        """Processor seconds a second."""
        self.done: list[str] = []

    @property
    def seconds(self) -> float:
        return asyncio.get_running_loop().time() * self.rate

    async def answer(self) -> None:
        if self.silent:
            await asyncio.Event().wait()

    def fail_open(self) -> None:
        self.done.append("fail open")

    async def bury(self) -> None:
        self.done.append("bury")

    async def revive(self) -> None:
        if self.fails:
            self.fails -= 1
            self.done.append("fail to start")
            raise RuntimeError("no memory\nleft")
        self.done.append("start")
        self.is_dead = self.silent = self.is_stopped = False

    def give_up(self) -> None:
        self.done.append("give up")


ROUND = ["fail open", "bury", "fail open"]


@pytest.fixture(autouse=True)
def in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in (("LOOK_S", 0.005), ("ASK_S", 0.01), ("SHORTEST_PAUSE_S", 0.01)):
        monkeypatch.setattr(keeping, name, seconds)


async def comes(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.002)


async def test_an_engine_that_died_is_buried_and_started_again() -> None:
    core = Actor()
    async with EngineKeeper(core, silence_s=60, load_s=1) as keeper:
        assert keeper.reason is None
        core.is_dead = True
        await comes(lambda: keeper.restarts == 1)
        assert keeper.reason is None
    assert core.done == [*ROUND, "start"]


async def test_a_start_that_fails_is_tried_again_and_says_why() -> None:
    core, reasons = Actor(), set()
    core.fails = 3
    async with EngineKeeper(core, silence_s=60, load_s=1) as keeper:
        core.is_dead = True
        while not keeper.restarts:
            reasons.add(keeper.reason)
            await asyncio.sleep(0.002)
    assert core.done == [*ROUND, "fail to start"] * 3 + [*ROUND, "start"]
    assert "the engine does not start: no memory left" in reasons


async def test_an_engine_that_answers_is_left_alone() -> None:
    core = Actor()
    async with EngineKeeper(core, silence_s=0.02, load_s=1):
        await asyncio.sleep(0.2)
    assert core.done == []


async def test_a_silent_engine_that_computes_nothing_is_dead() -> None:
    core = Actor()
    core.silent = True
    async with EngineKeeper(core, silence_s=0.1, load_s=1) as keeper:
        await comes(lambda: keeper.restarts == 1)


async def test_a_silent_engine_that_computes_gets_more_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(keeping, "AT_WORK", 1e6)
    core = Actor()
    core.silent, core.rate = True, 1.0
    async with EngineKeeper(core, silence_s=0.05, load_s=1) as keeper:
        await asyncio.sleep(0.3)
        assert core.done == []
        core.is_stopped = True
        await comes(lambda: keeper.restarts == 1)


async def test_a_silent_engine_that_computes_does_not_get_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(keeping, "AT_WORK", 3)
    core = Actor()
    core.silent, core.rate = True, 1.0
    async with EngineKeeper(core, silence_s=0.05, load_s=1) as keeper:
        await comes(lambda: keeper.restarts == 1)


async def test_a_server_that_stops_meanwhile_waits_for_no_start() -> None:
    core = Actor()
    core.fails = 10**6
    async with EngineKeeper(core, silence_s=60, load_s=1) as keeper:
        core.is_dead = True
        await comes(lambda: keeper.reason is not None)
    assert core.done[-1] == "give up"
