"""A Postgres of its own with a large store of made-up traces, in a folder that is deleted after.

The rows go in by COPY, as the writer's do, but without its statistics, and the indexes are made
at the end: what is asked afterwards is the same, and it is there in a third of the time.
"""

from __future__ import annotations

import asyncio
import os
import random
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

from bench.traffic import FAVOURERS, Traffic
from server.postgres.embedded import EmbeddedPostgres
from server.traces.database import Database
from server.traces.queries import queries
from server.traces.rows import (
    ACTIONS,
    MOD_FAILURES,
    MOD_LOGS,
    TRACES,
    action_rows,
    failure_rows,
    log_rows,
    trace_row,
)
from server.traces.trace import Trace

DAYS = 30
BATCH = 2000
LONG = 3600.0
"""Seconds that the making of an index may take."""
TABLES = {
    "actions": (ACTIONS, action_rows),
    "mod_logs": (MOD_LOGS, log_rows),
    "mod_failures": (MOD_FAILURES, failure_rows),
}


@asynccontextmanager
async def own_postgres() -> AsyncIterator[tuple[str, Path]]:
    """The address of a fresh Postgres, and a folder for anything else."""
    with tempfile.TemporaryDirectory(prefix="concordance-bench-") as folder:
        home = Path(folder)
        os.chmod(home, 0o755)  # its account must enter
        postgres = EmbeddedPostgres(home)
        try:
            yield await asyncio.to_thread(postgres.start), home
        finally:
            await asyncio.to_thread(postgres.stop)


async def fill(
    database: Database, requests: int, end: datetime, step: Callable[[], None] = lambda: None
) -> None:
    """Store the traffic of `DAYS` days. step: called after each `BATCH` of requests."""
    async with database.connection() as connection:
        first = (end - timedelta(days=DAYS)).date()
        days = [first + timedelta(days=n) for n in range(DAYS + 1)]
        await connection.execute(queries()["make_days"].replace("$1", _literal(days)))
        await connection.execute("set synchronous_commit = off")
        indexes = await _without_indexes(connection)
        traces = Traffic().traces(requests, end, DAYS)
        drawn = random.Random(5)
        while batch := list(islice(traces, BATCH)):
            await _copy(connection, batch, drawn)
            step()
        await connection.execute("set maintenance_work_mem = '512MB'")
        for index in indexes:
            await connection.execute(index, timeout=LONG)
        await connection.execute("vacuum analyze", timeout=LONG)


def _literal(days: Sequence[Any]) -> str:
    return "array[" + ", ".join(f"date '{day}'" for day in days) + "]"


async def _without_indexes(connection: Any) -> list[str]:
    """Drop the indexes of traces. Returns what makes them again."""
    found = await connection.fetch(
        "select indexname, indexdef from pg_indexes where schemaname = 'concordance'"
        " and tablename = 'traces' and indexname not like '%pkey'"
    )
    for row in found:
        await connection.execute(f"drop index {row['indexname']}")
    return [row["indexdef"].replace(" ON ONLY ", " ON ") for row in found]


async def _copy(connection: Any, batch: Sequence[Trace], drawn: random.Random) -> None:
    ids = [(trace.request.request_id, trace.request.created_at) for trace in batch]
    await connection.copy_records_to_table("trace_ids", records=ids)
    rows = [(*trace_row(trace), _favourites(drawn)) for trace in batch]
    columns = (*TRACES, "favourites")
    await connection.copy_records_to_table("traces", records=rows, columns=columns)
    for table, (names, rows_of) in TABLES.items():
        found = [row for trace in batch for row in rows_of(trace)]
        await connection.copy_records_to_table(table, records=found, columns=names)


def _favourites(drawn: random.Random) -> list[str]:
    return [drawn.choice(FAVOURERS)] if drawn.random() < 0.002 else []


async def parents_of(database: Database, count: int = 200) -> list[str]:
    """Ids of traces that were replayed."""
    async with database.connection() as connection:
        rows = await connection.fetch(
            "select distinct parent_id from traces where parent_id <> '' limit $1", count
        )
    return [row["parent_id"] for row in rows]


def this_moment() -> datetime:
    return datetime.now(UTC)
