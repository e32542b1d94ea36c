"""Lists: every filter narrows, every sort sorts, and pages follow each other without gap."""

from __future__ import annotations

import itertools
from dataclasses import fields
from datetime import timedelta

import pytest

from server.traces.annotations import Annotations
from server.traces.database import Database
from server.traces.errors import CursorError
from server.traces.record import Action, Error, ModUse, Usage, now
from server.traces.search import SORTS, Filters, Page, Search
from server.traces.store import Store
from server.traces.trace import Trace
from tests.server.traces.making import made, modded

START = now() - timedelta(hours=5)


def one(name: str, minutes: int = 0, **fields: object) -> Trace:
    created = START + timedelta(minutes=minutes)
    return made(name, created_at=created, **fields)


def acted(name: str) -> Trace:
    trace = one(name, mods=[ModUse("calm"), ModUse("shout")])
    trace.actions = [
        Action("force_tokens", mod_name="shout"),
        Action("backtrack", mod_name="calm", overridden=True),
    ]
    return trace


FOUND_BY = {
    "since": START + timedelta(minutes=30),
    "until": START - timedelta(minutes=30),
    "model": "other",
    "mod": "calm",
    "action": "force_tokens",
    "status": "failed",
    "caller": "bob",
    "tag": "good",
    "favourite_of": "eve",
    "text": "zebra",
    "min_latency": 50.0,
    "max_latency": 0.5,
    "min_tokens": 40,
    "max_tokens": 1,
    "parent_id": "mother",
}
"""A value for each filter, by which the trace named after it is found, and no other."""


@pytest.fixture
async def search(store: Store, database: Database) -> Search:
    await store.write(
        [
            *(one(f"other{n}") for n in range(5)),
            one("since", 60),
            one("until", -60),
            one("model", model="other"),
            acted("mod"),
            one("status", error=Error("broken")),
            one("caller", caller="bob"),
            one("tag", tags=["good", "x"]),
            one("favourite_of"),
            one("text", user_prompt="A Zebra, perhaps"),
            one("min_latency", completed_at=START + timedelta(seconds=100)),
            one("max_latency", completed_at=START + timedelta(seconds=0.25)),
            one("min_tokens", tokens=50),
            one("max_tokens", tokens=1),
            one("parent_id", parent_id="mother", parent_step=4),
        ]
    )
    await Annotations(database, store).favour("favourite_of", "eve")
    return Search(database)


def names(page: Page) -> list[str]:
    return [trace.request_id for trace in page.traces]


@pytest.mark.parametrize("name", [field.name for field in fields(Filters)])
async def test_each_filter_finds_what_it_is_about(search: Search, name: str) -> None:
    page = await search.page(Filters(**{name: FOUND_BY[name]}))
    assert names(page) == [{"action": "mod"}.get(name, name)]
    assert page.next is None


async def test_all_filters_must_hold(search: Search) -> None:
    assert names(await search.page(Filters(mod="calm", caller="ann"))) == ["mod"]
    assert names(await search.page(Filters(mod="calm", caller="bob"))) == []


async def test_an_overridden_action_had_no_effect(search: Search) -> None:
    assert names(await search.page(Filters(action="backtrack"))) == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("zebra", True),
        ("ZEBRA perhaps", True),
        ('"a zebra"', True),
        ('"zebra a"', False),
        ("zebra -perhaps", False),
        ("unicorn or zebra", True),
        ("text of text", True),
        ("", False),
        ("'); drop table traces", False),
    ],
)
async def test_text_is_searched_as_one_types(search: Search, text: str, found: bool) -> None:
    assert ("text" in names(await search.page(Filters(text=text)))) is found


async def test_letters_of_any_script_are_searched_in_either_case(
    store: Store, search: Search
) -> None:
    await store.write([one("é", final_text="Ein ÉLAN aus Übersee")])
    assert names(await search.page(Filters(text="élan übersee"))) == ["é"]


@pytest.mark.parametrize("sort", SORTS)
@pytest.mark.parametrize("limit", [1, 3, 7])
async def test_pages_follow_each_other_without_gap_or_repeat(
    search: Search, sort: str, limit: int
) -> None:
    whole = (await search.page(Filters(), sort=sort, limit=1000)).traces
    keys = [getattr(trace, SORTS[sort].key) for trace in whole]
    assert keys == sorted(keys, reverse=SORTS[sort].direction == "desc")
    found: list[str] = []
    cursor: str | None = None
    for _ in itertools.count():
        page = await search.page(Filters(), sort=sort, limit=limit, cursor=cursor)
        found += names(page)
        cursor = page.next
        if cursor is None:
            break
    assert found == [trace.request_id for trace in whole]
    assert len(found) == 19


@pytest.mark.parametrize("cursor", ["", "x", "!!!", "AAAA", "é", "gaVhYmNkZQ"])
async def test_what_is_no_cursor_is_refused(search: Search, cursor: str) -> None:
    with pytest.raises(CursorError):
        await search.page(Filters(), cursor=cursor)


async def test_a_cursor_of_another_sort_is_refused(search: Search) -> None:
    cursor = (await search.page(Filters(), sort="oldest", limit=1)).next
    with pytest.raises(CursorError, match="of the sort 'oldest', not of 'newest'"):
        await search.page(Filters(), cursor=cursor)


async def test_a_line_says_what_a_list_needs(store: Store, search: Search) -> None:
    await store.write([modded("line", user_prompt="p" * 500, usage=Usage(prompt=9), tags=["b"])])
    (line,) = (await search.page(Filters(tag="b"), reader="eve")).traces
    assert (line.mods, line.actions, line.tags) == (["calm"], ["backtrack"], ["b"])
    assert (line.prompt_tokens, line.output_tokens, line.erased_tokens) == (9, 3, 1)
    assert (line.status, line.latency, len(line.prompt)) == ("done", 1.0, 200)
    assert not line.favourite


async def test_a_list_marks_the_reader_s_favourites(search: Search) -> None:
    filters = Filters(favourite_of="eve")
    assert (await search.page(filters, reader="eve")).traces[0].favourite
    assert not (await search.page(filters, reader="ann")).traces[0].favourite
    assert not (await search.page(filters)).traces[0].favourite


async def test_text_with_nul_is_listed_as_it_was(store: Store, search: Search) -> None:
    await store.write([one("n\x00l", user_prompt="a\x00b", tags=["x\x00"])])
    (line,) = (await search.page(Filters(tag="x\x00"))).traces
    assert (line.request_id, line.prompt, line.tags) == ("n\x00l", "a\x00b", ["x\x00"])


@pytest.mark.parametrize("sort", ["newest", "oldest"])
async def test_lists_by_time_go_on_over_days_without_traces(
    store: Store, database: Database, sort: str
) -> None:
    days = [0, 1, 2, 9, 40, 41, 300, 500]
    await store.write([made(f"d{n}", created_at=START - timedelta(days=n)) for n in days])
    wanted = [f"d{n}" for n in (days if sort == "newest" else days[::-1])]
    search, cursor, found = Search(database), None, []
    for _ in range(len(days)):
        page = await search.page(Filters(text="prompt"), sort=sort, limit=3, cursor=cursor)
        found += names(page)
        cursor = page.next
        if cursor is None:
            break
    assert found == wanted
    since, until = START - timedelta(days=300), START - timedelta(days=2)
    bounded = await search.page(Filters(since=since, until=until), sort=sort)
    assert names(bounded) == [name for name in wanted if name in ("d9", "d40", "d41", "d300")]
