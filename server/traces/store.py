"""Traces in Postgres: written in batches, each once; read whole; deleted; let go when too old."""

from __future__ import annotations

import logging
from collections.abc import Sequence
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

log = logging.getLogger("concordance.traces")

OLDEST_DAY = timedelta(days=400)
"""Older days get no partition of their own: a sender with odd clocks must not make thousands."""


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
        """Store these in one transaction. Returns how many were not there yet.

        A trace whose request id is there already changes nothing. Raises `RefusedError` if one
        of them cannot be stored; then none is.
        """
        by_id = {trace.request.request_id: trace for trace in reversed(traces)}
        await self._make_days({trace.request.created_at for trace in by_id.values()})
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
        await self._make_days({now(), now() + timedelta(days=1)})
        if keep_days is None:
            return
        first = today - timedelta(days=keep_days)
        (dropped,) = await self._database.fetch("drop_days", first)
        midnight = datetime(first.year, first.month, first.day, tzinfo=UTC)
        await self._database.fetch("drop_hours", midnight)
        self._days.clear()
        if dropped[0]:
            log.info("dropped %d partitions from before %s", dropped[0], first)

    async def _make_days(self, times: set[datetime]) -> None:
        """In transactions of its own: what makes a partition must not hold up who reads."""
        oldest = now() - OLDEST_DAY
        days = {time.astimezone(UTC).date() for time in times if time > oldest} - self._days
        if days:
            await self._database.fetch("make_days", sorted(days))
            self._days |= days


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
