"""Places are shared out among callers: nobody waits behind another's queue."""

from __future__ import annotations

import asyncio

import pytest

from server.constraints.turns import BusyError, Turns


async def hold(turns: Turns, caller: str, entered: list[str], leave: asyncio.Event) -> None:
    async with turns.place(caller):
        entered.append(caller)
        await leave.wait()


async def settled() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_no_caller_has_more_than_half_of_the_places() -> None:
    turns, entered, leave = Turns(4, patience=5.0), [], asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        for caller in ["a"] * 10 + ["b"]:
            tasks.create_task(hold(turns, caller, entered, leave))
        await settled()
        assert entered == ["a", "a", "b"]
        leave.set()
    assert sorted(entered) == ["a"] * 10 + ["b"]


async def test_callers_that_wait_take_turns() -> None:
    turns, entered = Turns(2, patience=5.0), []
    leaves = [asyncio.Event() for _ in range(6)]
    async with asyncio.TaskGroup() as tasks:
        for caller, leave in zip("xyaabb", leaves, strict=True):
            tasks.create_task(hold(turns, caller, entered, leave))
        await settled()
        assert entered == ["x", "y"]
        for leave in leaves:
            leave.set()
            await settled()
    assert entered[2:] == ["a", "b", "a", "b"]


async def test_waiting_has_an_end() -> None:
    turns, leave = Turns(1, patience=0.02), asyncio.Event()
    holding = asyncio.create_task(hold(turns, "a", [], leave))
    await settled()
    with pytest.raises(BusyError) as raised:
        async with turns.place("b"):
            pytest.fail("there was no place")
    assert raised.value.status == 503
    leave.set()
    await holding
    async with turns.place("b"):
        pass


async def test_who_gives_up_takes_no_place() -> None:
    turns, leave = Turns(1, patience=5.0), asyncio.Event()
    holding = asyncio.create_task(hold(turns, "a", [], leave))
    await settled()
    waiting = asyncio.create_task(hold(turns, "b", [], leave))
    await settled()
    waiting.cancel()
    leave.set()
    await asyncio.gather(holding, waiting, return_exceptions=True)
    async with turns.place("c"):
        pass
