"""Tags, favourites and notes: what people add stays with the trace, and goes with it."""

from __future__ import annotations

import pytest

from server.traces.annotations import Annotations
from server.traces.database import Database
from server.traces.errors import UnknownTraceError
from server.traces.store import Store
from tests.server.traces.making import made


@pytest.fixture
async def annotations(store: Store, database: Database) -> Annotations:
    await store.write([made("r", tags=["first"])])
    return Annotations(database, store)


async def test_tags_are_added_and_removed(annotations: Annotations, store: Store) -> None:
    assert await annotations.tag("r", ["b", "a", "b"]) == ["a", "b", "first"]
    assert await annotations.tag("r", ["b", "zz"], remove=True) == ["a", "first"]
    stored = await store.read("r")
    assert stored.tags == ["a", "first"]
    assert stored.trace.request.tags == ["first"], "the record stays as it was"


async def test_storing_a_trace_again_leaves_its_tags(
    annotations: Annotations, store: Store
) -> None:
    await annotations.tag("r", ["a"])
    await store.write([made("r")])
    assert (await store.read("r")).tags == ["a", "first"]


async def test_a_favourite_is_one_caller_s(annotations: Annotations, store: Store) -> None:
    for _ in range(2):
        await annotations.favour("r", "ann")
    await annotations.favour("r", "bob")
    assert (await store.read("r")).favourites == ["ann", "bob"]
    await annotations.favour("r", "ann", remove=True)
    assert (await store.read("r")).favourites == ["bob"]


async def test_notes_are_anchored_to_a_step(annotations: Annotations, store: Store) -> None:
    first = await annotations.note("r", "ann", "look\x00here", step=4)
    second = await annotations.note("r", "bob", "all of it")
    assert await annotations.notes("r") == [first, second]
    assert (first.step, first.text, second.step) == (4, "look\x00here", None)
    assert not await annotations.delete_note("r", first.id, author="bob")
    assert await annotations.delete_note("r", first.id, author="ann")
    assert await annotations.notes("r") == [second]
    await store.delete("r")
    await store.write([made("r")])
    assert await annotations.notes("r") == []


async def test_of_another_caller_s_trace_nothing_can_be_said(annotations: Annotations) -> None:
    for attempt in (
        annotations.tag("r", ["x"], caller="bob"),
        annotations.favour("r", "bob", caller="bob"),
        annotations.note("r", "bob", "x", caller="bob"),
        annotations.notes("r", caller="bob"),
        annotations.delete_note("r", 1, caller="bob"),
        annotations.tag("nobody", ["x"]),
    ):
        with pytest.raises(UnknownTraceError):
            await attempt
