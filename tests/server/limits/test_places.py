from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.limits.places import Places, QueueFullError, ServerFullError


async def turns() -> None:
    """Let everybody do what they can."""
    for _ in range(5):
        await asyncio.sleep(0)


class Work:
    """A request that holds a place until it is told to end."""

    def __init__(self, places: Places, key: str, order: list[str], name: str) -> None:
        self.end = asyncio.Event()
        self.running = False
        self.task = asyncio.create_task(self._run(places, key, order, name))

    async def _run(self, places: Places, key: str, order: list[str], name: str) -> None:
        async with places.place(key):
            self.running = True
            order.append(name)
            await self.end.wait()
        self.running = False


async def test_who_waits_gets_the_next_place_in_order() -> None:
    places, order = Places(1, 2, 0), list[str]()
    works = [Work(places, "k", order, name) for name in "abc"]
    await turns()
    assert (order, places.of("k")) == (["a"], (1, 2))
    with pytest.raises(QueueFullError):
        async with places.place("k"):
            pass
    for work in works:
        work.end.set()
        await turns()
    assert order == ["a", "b", "c"]
    assert (places.of("k"), places.inside) == ((0, 0), 0)


async def test_one_key_does_not_wait_for_another() -> None:
    places, order = Places(1, 0, 0), list[str]()
    works = [Work(places, key, order, key) for key in "xy"]
    await turns()
    assert order == ["x", "y"]
    for work in works:
        work.end.set()
        await work.task


async def test_the_whole_server_is_full_for_everybody() -> None:
    places, order = Places(0, 0, 2), list[str]()
    works = [Work(places, key, order, key) for key in ("x", "")]
    await turns()
    for key in ("x", "y", ""):
        with pytest.raises(ServerFullError):
            async with places.place(key):
                pass
    works[0].end.set()
    await works[0].task
    async with places.place("y"):
        assert places.inside == 2
    works[1].end.set()
    await works[1].task


async def test_one_who_goes_away_leaves_the_line_and_loses_no_place() -> None:
    places, order = Places(1, 3, 0), list[str]()
    first, second, third = (Work(places, "k", order, name) for name in "abc")
    await turns()
    second.task.cancel()
    await turns()
    assert places.of("k") == (1, 1)
    first.end.set()
    third.end.set()
    await turns()
    assert order == ["a", "c"]
    assert (places.of("k"), places.inside) == ((0, 0), 0)


async def test_one_who_goes_away_in_the_moment_of_their_turn_passes_it_on() -> None:
    places, order = Places(1, 3, 0), list[str]()
    first, second, third = (Work(places, "k", order, name) for name in "abc")
    await turns()
    first.end.set()
    await asyncio.sleep(0)  # the first wakes, and hands over before the second runs
    second.task.cancel()
    await turns()
    assert (third.running, order[-1]) == (True, "c")
    third.end.set()
    await turns()
    assert (places.of("k"), places.inside) == ((0, 0), 0)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(["come", "end", "cancel"]), st.integers(0, 7)), max_size=40)
)
def test_whatever_happens_no_more_run_than_may_and_nothing_is_left(
    happenings: list[tuple[str, int]],
) -> None:
    async def play() -> None:
        places, works = Places(2, 3, 6), list[Work]()
        for kind, number in happenings:
            if kind == "come":
                works.append(Work(places, "xy"[number % 2], [], ""))
            elif works and kind == "end":
                works[number % len(works)].end.set()
            elif works:
                works[number % len(works)].task.cancel()
            await turns()
            assert all(places.of(key)[0] <= 2 and places.of(key)[1] <= 3 for key in "xy")
            assert places.inside <= 6
        for work in works:
            work.end.set()
        for work in works:
            with suppress(asyncio.CancelledError, QueueFullError, ServerFullError):
                await work.task
        assert (places.of("x"), places.of("y"), places.inside) == ((0, 0), (0, 0), 0)

    asyncio.run(play())
