"""Places in the batch: who waits, who goes first, and that none is ever lost."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress

import pytest

from server.engine.slots import Slots


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


class Visit:
    """Somebody inside, or waiting to be."""

    def __init__(
        self, slots: Slots, name: str, order: list[str], session: bool = False, at: float = 0.0
    ) -> None:
        self.done = asyncio.Event()
        self.task = asyncio.create_task(self._stay(slots, name, order, session, at))

    async def _stay(
        self, slots: Slots, name: str, order: list[str], session: bool, at: float
    ) -> None:
        place = (0, at)
        async with slots.session(place) if session else slots.plain(place):
            order.append(name)
            await self.done.wait()

    async def end(self) -> None:
        self.done.set()
        await self.task


async def test_without_sessions_nobody_waits_here() -> None:
    slots, order = Slots(2), list[str]()
    visits = [Visit(slots, str(i), order) for i in range(5)]
    await settle()
    assert order == ["0", "1", "2", "3", "4"]
    for visit in visits:
        await visit.end()


async def test_beside_a_session_only_as_many_enter_as_the_engine_runs() -> None:
    slots, order = Slots(2), list[str]()
    session = Visit(slots, "session", order, session=True)
    await settle()
    late, later = Visit(slots, "a", order, at=1), Visit(slots, "b", order, at=2)
    await settle()
    assert order == ["session", "a"]
    assert slots.queued == 1
    await late.end()
    await settle()
    assert order == ["session", "a", "b"]
    await later.end()
    await session.end()


async def test_who_came_first_goes_first() -> None:
    slots, order = Slots(1), list[str]()
    session = Visit(slots, "session", order, session=True)
    await settle()
    others = [Visit(slots, name, order, at=at) for name, at in (("c", 3), ("a", 1), ("b", 2))]
    await settle()
    await session.end()
    await settle()
    assert order == ["session", "a", "b", "c"]
    for visit in others:
        await visit.end()


async def test_a_session_that_gave_its_place_away_gets_another_before_who_came_later() -> None:
    slots, order = Slots(1), list[str]()
    async with slots.session((0, 1.0)) as slot:
        visit = Visit(slots, "later", order, at=2.0)
        await settle()
        slot.give()
        await settle()
        assert order == ["later"]
        again = asyncio.create_task(slot.take())
        third = Visit(slots, "third", order, at=3.0)
        await settle()
        await visit.end()
        await again
        assert order == ["later"]
    await settle()
    assert order == ["later", "third"]
    await third.end()


@pytest.mark.parametrize("seed", range(20))
async def test_no_place_is_lost_however_visits_end(seed: int) -> None:
    chance = random.Random(seed)
    slots, order = Slots(3), list[str]()
    visits: list[Visit] = []
    for number in range(60):
        visits.append(Visit(slots, str(number), order, chance.random() < 0.4, chance.random()))
        await asyncio.sleep(0)
        if chance.random() < 0.5:
            leaving = visits.pop(chance.randrange(len(visits)))
            if chance.random() < 0.5:
                leaving.task.cancel()
            else:
                leaving.done.set()
            with suppress(asyncio.CancelledError, TimeoutError):
                await asyncio.wait_for(asyncio.shield(leaving.task), 0.01)
    for visit in visits:
        visit.done.set()
    await asyncio.gather(*(visit.task for visit in visits), return_exceptions=True)
    await settle()
    assert slots._inside == 0
    assert slots._sessions == 0
    assert slots.queued == 0
