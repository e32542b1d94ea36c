"""What a large store is asked, against a small one: every question is understood and answered."""

from __future__ import annotations

import random
from dataclasses import fields
from datetime import timedelta
from typing import Any

import pytest

from bench.questions import QUESTIONS, Inquirer, milliseconds
from bench.stored import DAYS, fill, own_postgres, parents_of, this_moment
from bench.traffic import WORDS, Traffic, companion
from server.traces.database import Database
from server.traces.search import SORTS, Filters, Search


class Noting:
    """Stands for a search: remembers what is asked."""

    def __init__(self) -> None:
        self.filters: set[str] = set()
        self.sorts: set[str] = set()
        self.cursors = 0

    async def page(self, filters: Filters, *, sort: str, limit: int, cursor: str = "") -> None:
        given = {each.name for each in fields(filters) if getattr(filters, each.name) is not None}
        self.filters |= given
        self.sorts.add(sort)
        self.cursors += bool(cursor)


async def test_every_filter_is_asked_for_and_pages_in_the_middle() -> None:
    noting: Any = Noting()
    inquirer = Inquirer(this_moment(), DAYS, ["r"])
    for name in QUESTIONS:
        await milliseconds(noting, inquirer, name, 1)
    assert len(QUESTIONS) >= 12
    assert noting.filters == {each.name for each in fields(Filters)}
    assert noting.sorts == SORTS.keys()
    assert noting.cursors == 4


def test_the_same_traffic_comes_each_time_and_is_of_all_kinds() -> None:
    end = this_moment()
    traces = list(Traffic().traces(2000, end, DAYS))
    again = list(Traffic().traces(2000, end, DAYS))
    assert [trace.encode() for trace in traces] == [trace.encode() for trace in again]
    assert {trace.request.status for trace in traces} == {"done", "failed", "aborted"}
    assert end - timedelta(days=DAYS) <= traces[0].request.created_at
    assert any(trace.request.parent_id for trace in traces)
    assert any(trace.actions for trace in traces)
    assert any(trace.request.tags for trace in traces)


def test_some_words_follow_each_other_more_often_than_others() -> None:
    texts = [trace.request.user_prompt for trace in Traffic().traces(1000, this_moment(), 1)]
    word = WORDS[5]
    after = sum(f"{word} {companion(word)} " in text for text in texts)
    assert after > 3 * sum(f"{word} {WORDS[700]} " in text for text in texts)


@pytest.mark.slow
async def test_a_small_store_is_filled_with_its_indexes_and_answers() -> None:
    async with own_postgres() as (url, _):
        database = await Database.open(url)
        async with database.connection() as connection:
            before = await _indexes(connection)
        end = this_moment()
        await fill(database, 3000, end)
        async with database.connection() as connection:
            assert await connection.fetchval("select count(*) from traces") == 3000
            assert await connection.fetchval("select count(*) from traces_default") == 0
            assert await _indexes(connection) == before
        inquirer = Inquirer(end, DAYS, await parents_of(database), random.randrange(100))
        for name in QUESTIONS:
            assert len(await milliseconds(Search(database), inquirer, name, 1)) == 1
        await database.close()


async def _indexes(connection: Any) -> list[str]:
    rows = await connection.fetch(
        "select indexdef from pg_indexes where schemaname = 'concordance' and tablename = 'traces'"
        " order by 1"
    )
    return [row["indexdef"].replace(" ON ONLY ", " ON ") for row in rows]
