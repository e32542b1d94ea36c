"""Traces in Postgres: written in batches, each once; read whole; deleted; let go when too old."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from server.traces.database import Database
from server.traces.errors import RefusedError, UnknownTraceError
from server.traces.queries import queries
from server.traces.record import now
from server.traces.rows import (
    ACTIONS,
    MOD_FAILURES,
    MOD_LOGS,
    TRACES,
    action_rows,
    escaped,
    failure_rows,
    log_rows,
    plain,
    trace_of,
    trace_row,
)
from server.traces.tallies import Tallies
from server.traces.trace import Trace
from server.traces.windows import DAY

log = logging.getLogger("concordance.traces")

OLDEST_DAY = timedelta(days=400)
"""Older days get no partition of their own: a sender with odd clocks must not make thousands."""

DAYS_AT_ONCE = 8
"""Days that one transaction writes to. Each needs some 25 entries of Postgres's lock table."""


@dataclass(frozen=True)
class Stored:
    """A trace, and what people added to it since. tags: also those that it came with."""

    trace: Trace
    tags: list[str]
    favourites: list[str]


class Store:
    """The traces of one database. Methods raise `AwayError` while it cannot be reached."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._days: set[date] = set()

    async def write(self, traces: Sequence[Trace]) -> int:
        """Store these, in one transaction for each `DAYS_AT_ONCE` days; mostly they are of one.
        Returns how many were not there yet.

        A trace whose request id is there already changes nothing. Raises `RefusedError` if one
        of them cannot be stored; then none of its transaction is.
        """
        by_id = {trace.request.request_id: trace for trace in reversed(traces)}
        by_day: dict[date, list[Trace]] = defaultdict(list)
        for trace in by_id.values():
            by_day[trace.request.created_at.astimezone(UTC).date()].append(trace)
        days, stored = sorted(by_day), 0
        for at in range(0, len(days), DAYS_AT_ONCE):
            part = days[at : at + DAYS_AT_ONCE]
            await self._make_days(part)
            stored += await self._write([trace for day in part for trace in by_day[day]])
        return stored

    async def _write(self, traces: Sequence[Trace]) -> int:
        """In one transaction. Their ids differ."""
        by_id = {trace.request.request_id: trace for trace in traces}
        async with self._database.transaction() as connection:
            claimed = await connection.fetch(
                queries()["claim_ids"],
                [escaped(request_id) for request_id in sorted(by_id)],
                [by_id[request_id].request.created_at for request_id in sorted(by_id)],
            )
            fresh = [by_id[plain(row["request_id"])] for row in claimed]
            await _copy(connection, "traces", TRACES, list(map(trace_row, fresh)))
            for table, columns, rows_of in (
                ("actions", ACTIONS, action_rows),
                ("mod_logs", MOD_LOGS, log_rows),
                ("mod_failures", MOD_FAILURES, failure_rows),
            ):
                rows = [row for trace in fresh for row in rows_of(trace)]
                await _copy(connection, table, columns, rows)
            await Tallies(fresh).add(connection)
        return len(fresh)

    async def read(self, request_id: str, caller: str | None = None) -> Stored:
        """A whole trace. caller: who may see it; None for anybody. Raises `UnknownTraceError`."""
        key = await self.locate(request_id)
        row = await self._database.row("read_trace", *key)
        if row is None or caller not in (None, plain(row["caller"])):
            raise _unknown(request_id)
        names = ("read_actions", "read_logs", "read_failures")
        parts = [await self._database.fetch(name, *key) for name in names]
        return Stored(
            trace_of(row, *parts),
            [plain(tag) for tag in row["tags"]],
            [plain(favourite) for favourite in row["favourites"]],
        )

    async def delete(self, request_id: str, caller: str | None = None) -> None:
        """A trace, with its notes. Statistics keep what it added. Raises `UnknownTraceError`."""
        key = await self.locate(request_id, caller)
        await self._database.fetch("delete_trace", *key)

    async def locate(self, request_id: str, caller: str | None = None) -> tuple[datetime, str]:
        """The key of a trace's rows: its day's time and its id. Raises `UnknownTraceError`."""
        row = await self._database.row("day_of", escaped(request_id))
        if row is None:
            raise _unknown(request_id)
        key = (row["created_at"], escaped(request_id))
        if caller is not None:
            owner = await self._database.row("caller_of", *key)
            if owner is None or plain(owner["caller"]) != caller:
                raise _unknown(request_id)
        return key

    async def maintain(self, keep_days: int | None = None) -> None:
        """Make the partitions of today and tomorrow; drop the days that are over.

        keep_days: whole days to keep before today; None to keep all.
        """
        today = now().date()
        await self._make_days([today, today + DAY])
        if keep_days is None:
            return
        first = today - timedelta(days=keep_days)
        over = await self._database.fetch("days_before", first)
        self._days.clear()
        for row in over:  # a transaction for each: a day's tables fill much of a lock table
            await self._database.fetch("drop_days", row["day"] + DAY)
        await self._database.fetch("drop_days", first)
        midnight = datetime(first.year, first.month, first.day, tzinfo=UTC)
        await self._database.fetch("drop_hours", midnight)
        if over:
            log.info("dropped %d days from before %s", len(over), first)

    async def _make_days(self, days: Iterable[date]) -> None:
        """Each in a transaction of its own: what makes a partition must not hold up who reads, and
        many at once do not fit into Postgres's lock table."""
        oldest = now().date() - OLDEST_DAY
        for day in days:
            if day > oldest and day not in self._days:
                await self._database.fetch("make_days", [day])
                self._days.add(day)


async def _copy(
    connection: Any, table: str, columns: Sequence[str], rows: list[tuple[Any, ...]]
) -> None:
    if not rows:
        return
    try:
        await connection.copy_records_to_table(table, records=rows, columns=columns)
    except (OverflowError, TypeError, ValueError) as error:
        raise RefusedError(f"no row of {table} can be made of it: {error}") from error


def _unknown(request_id: str) -> UnknownTraceError:
    return UnknownTraceError(f"there is no trace {request_id!r:.200}")
