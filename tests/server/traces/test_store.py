"""Postgres: what is written is read as it was, once, whatever text and numbers it holds."""

from __future__ import annotations

import asyncio
import itertools
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.postgres.embedded import SETTINGS, EmbeddedPostgres
from server.traces.database import Database
from server.traces.errors import AwayError, RefusedError, UnknownTraceError
from server.traces.record import Record, now
from server.traces.rows import escaped, plain
from server.traces.store import OLDEST_DAY, Store
from server.traces.trace import Trace
from tests.server.traces.conftest import run
from tests.server.traces.making import made, modded
from tests.server.traces.records import patient, records


async def count(database: Database, table: str) -> int:
    async with database.connection() as connection:
        return int(await connection.fetchval(f"select count(*) from {table}"))


@pytest.mark.parametrize("trace", [made("r"), modded("r")], ids=["plain", "with a mod"])
async def test_a_trace_comes_back_byte_for_byte(store: Store, trace: Trace) -> None:
    data = trace.encode()
    assert await store.write([trace]) == 1
    stored = await store.read("r")
    assert stored.trace.encode() == data
    assert stored.trace.record().to_json() == Trace.decode(data).record().to_json()


def test_any_record_comes_back_byte_for_byte(looped: tuple[asyncio.Runner, Store]) -> None:
    runner, store = looped
    numbers = itertools.count()

    @settings(patient, max_examples=25)
    @given(st.lists(records(), min_size=1, max_size=4))
    def check(written: list[Record]) -> None:
        for record in written:
            record.request.request_id = f"{next(numbers)} {record.request.request_id[32:]}"
        bodies = {record.request.request_id: record.to_json() for record in written}
        runner.run(store.write([Trace.of(record) for record in written]))
        for request_id, body in bodies.items():
            stored = runner.run(store.read(request_id))
            assert stored.trace.record().to_json() == body

    check()


@patient
@given(st.text())
def test_escaped_text_has_no_nul_and_comes_back(text: str) -> None:
    mixed = text + "\x00\x1a\x1a0" + text
    assert "\x00" not in escaped(mixed)
    assert plain(escaped(mixed)) == mixed


async def test_the_same_id_is_stored_once(store: Store, database: Database) -> None:
    other = made("r", created_at=now() - timedelta(days=3), final_text="other")
    assert await store.write([modded("r"), made("r"), made("s")]) == 2
    assert await store.write([other, made("s"), made("t")]) == 1
    assert (await store.read("r")).trace.request.final_text == "text of r"
    assert [await count(database, table) for table in ("traces", "trace_ids", "actions")] == [
        3,
        3,
        2,
    ]


async def test_two_writers_of_the_same_traces_store_them_once(url: str) -> None:
    one, two = await Database.open(url), await Database.open(url)
    traces = [modded(f"r{n}") for n in range(200)]
    written = await asyncio.gather(
        *(Store(d).write(traces[n::7] + traces[:50]) for n in range(7) for d in (one, two))
    )
    assert sum(written) == 200
    assert await count(one, "traces") == 200
    assert await count(one, "mod_logs") == 200
    await one.close()
    await two.close()


async def test_a_batch_is_stored_whole_or_not_at_all(store: Store, database: Database) -> None:
    bad = made("bad")
    bad.story.origins[0] = 10**6  # no smallint
    with pytest.raises(RefusedError):
        await store.write([made("good"), bad])
    assert await count(database, "trace_ids") == 0
    assert await store.write([made("good")]) == 1


async def test_the_rows_that_people_search_are_there(store: Store, database: Database) -> None:
    await store.write([modded("r", "calm")])
    async with database.connection() as connection:
        actions = await connection.fetch("select * from actions order by number")
        (log,) = await connection.fetch("select * from mod_logs")
        (failure,) = await connection.fetch("select * from mod_failures")
        (row,) = await connection.fetch("select * from traces")
    assert [(a["action"], a["mod"], a["overridden"]) for a in actions] == [
        ("backtrack", "calm", False),
        ("force_tokens", "calm", True),
    ]
    assert (log["message"], log["mod"]) == ("hello", "calm")
    assert (failure["type"], failure["mod"]) == ("ValueError", "calm")
    assert (row["mods"], row["actions"]) == (["calm"], ["backtrack"])
    assert (row["sampled_tokens"], row["forced_tokens"], row["erased_tokens"]) == (1, 2, 1)
    assert row["token_ids"] == [100, 101, 7, 8]
    assert row["erased_by"] == [-1, 5, -1, -1]


async def test_of_a_session_no_events_are_stored(store: Store, database: Database) -> None:
    trace = made("r", 50)
    await store.write([Trace.of(trace.record())])
    async with database.connection() as connection:
        assert await connection.fetchval("select events is null from traces")
    assert len((await store.read("r")).trace.record().events) == 2 + 3 * 50


@pytest.mark.parametrize("caller", [None, "ann"])
async def test_deleting_a_trace_leaves_nothing_of_it(
    store: Store, database: Database, caller: str | None
) -> None:
    await store.write([modded("r"), modded("s")])
    await store.delete("r", caller)
    for table in ("traces", "trace_ids", "mod_logs", "mod_failures"):
        assert await count(database, table) == 1
    assert await count(database, "actions") == 2
    with pytest.raises(UnknownTraceError):
        await store.read("r")


async def test_another_caller_s_trace_is_unknown(store: Store) -> None:
    await store.write([made("r", caller="ann")])
    for attempt in (store.read, store.delete, store.locate):
        with pytest.raises(UnknownTraceError, match="'r'"):
            await attempt("r", "bob")
    assert (await store.read("r", "ann")).trace.request.caller == "ann"


async def test_each_day_has_its_partition(store: Store, database: Database) -> None:
    day = now() - timedelta(days=5)
    await store.write([made("r", created_at=day), made("s", created_at=day - timedelta(days=1))])
    async with database.connection() as connection:
        rows = await connection.fetch("select tableoid::regclass::text as part from traces")
    expected = {f"traces_{day - timedelta(days=n):%Y%m%d}" for n in (0, 1)}
    assert {row["part"] for row in rows} == expected


async def test_a_day_far_in_the_past_makes_no_partition(store: Store, database: Database) -> None:
    old = [made(f"r{n}", created_at=now() - OLDEST_DAY - timedelta(days=40 * n)) for n in range(20)]
    old.append(made("first", created_at=datetime(1, 1, 1, tzinfo=UTC)))
    await store.write(old)
    assert await count(database, "traces_default") == 21
    assert (await store.read("r19")).trace == old[19]


async def test_a_day_with_rows_in_the_default_partition_goes_on_there(
    store: Store, database: Database
) -> None:
    day = now() - timedelta(days=30)
    await store.write([made("old", created_at=day)])
    async with database.connection() as connection:
        table = f"traces_{day:%Y%m%d}"
        await connection.execute(
            f"create temp table kept as select {_columns()} from {table}; drop table {table};"
            f" insert into traces ({_columns()}) select {_columns()} from kept"
        )
    assert await count(database, "traces_default") == 1
    store._days.clear()
    assert await store.write([made("new", created_at=day)]) == 1
    assert await count(database, "traces_default") == 2


def _columns() -> str:
    from server.traces.rows import TRACES

    return ", ".join(TRACES)


async def test_retention_drops_whole_days_and_what_hangs_on_them(
    store: Store, database: Database
) -> None:
    ages = [0, 1, 9, 10, 11, 30, 500]
    await store.write([modded(f"r{age}", created_at=now() - timedelta(days=age)) for age in ages])
    async with database.connection() as connection:
        await connection.execute(
            "insert into notes (request_id, caller, text) values ('r30', 'ann', 'x'),"
            " ('r1', 'ann', 'y')"
        )
    await store.maintain(keep_days=10)
    async with database.connection() as connection:
        left = await connection.fetch("select request_id from traces")
        ids = await connection.fetch("select request_id from trace_ids")
        parts = await connection.fetchval(
            "select count(*) from pg_inherits where inhparent = 'traces'::regclass"
        )
        hours = await connection.fetchval("select min(hour) from mod_hours")
    assert {row[0] for row in left} == {row[0] for row in ids} == {"r0", "r1", "r9", "r10"}
    assert parts == 6, "four days, tomorrow, and the default"
    assert await count(database, "notes") == 1
    assert hours > now() - timedelta(days=11, hours=1)
    assert await store.write([made("again", created_at=now() - timedelta(days=11))]) == 1


async def test_months_of_history_are_stored_and_dropped_where_locks_are_few(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = {"max_connections": "10", "max_locks_per_transaction": "10", "fsync": "off"}
    for setting, value in few.items():
        monkeypatch.setitem(SETTINGS, setting, value)
    server = EmbeddedPostgres(home)
    database = await Database.open(await asyncio.to_thread(server.start))
    store, days = Store(database), 60
    history = [modded(f"r{n}", created_at=now() - timedelta(days=n)) for n in range(days)]
    assert await store.write(history) == days
    await store.maintain(keep_days=5)
    assert await count(database, "traces") == await count(database, "trace_ids") == 6
    async with database.connection() as connection:
        parts = await connection.fetchval(
            "select count(*) from pg_inherits where inhparent = 'mod_logs'::regclass"
        )
    assert parts == 8, "six days, tomorrow, and the default"
    await database.close()
    await asyncio.to_thread(server.stop)


async def test_a_long_trace_opens_whole(store: Store) -> None:
    trace = made("r", 10_000)
    for entry in range(30_000):
        trace.calls.add(entry, 0, 5)
    trace.request.mods = modded().request.mods
    await store.write([trace])
    record = (await store.read("r")).trace.record()
    body = record.to_json()
    assert len(record.events) == 30_002
    assert len(body) > 10**6


async def test_a_postgres_that_is_not_there_is_away() -> None:
    with pytest.raises(AwayError):
        await Database.open("postgresql://postgres@/postgres?host=/nowhere")
    with pytest.raises(AwayError):
        await Database.open("postgresql://postgres@127.0.0.1:9/postgres")


async def test_a_connection_that_breaks_is_away_and_then_there_again(
    store: Store, postgres: str, url: str
) -> None:
    name = url.split("/")[3].split("?")[0]
    kill = f"select pg_terminate_backend(pid) from pg_stat_activity where datname = '{name}'"
    await store.write([made("one")])
    await run(postgres, kill)
    outcomes: list[Any] = []
    for _ in range(3):
        try:
            outcomes.append(await store.write([made("two")]))
        except AwayError as error:
            outcomes.append(error)
    assert 1 in outcomes
    assert (await store.read("two")).trace.request.request_id == "two"
