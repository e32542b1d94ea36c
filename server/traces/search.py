"""Lists of traces: filters, sorts, and pages by cursor, each page as fast as the first."""

from __future__ import annotations

import base64
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct

from server.traces.database import Database
from server.traces.errors import CursorError
from server.traces.queries import queries
from server.traces.record import Count, Time, now
from server.traces.rows import escaped, plain
from server.traces.windows import Windows, moved

MAX_LIMIT = 1000


@dataclass(frozen=True, kw_only=True)
class Filters:
    """What a list may be narrowed by; what is None does not narrow. All that is given must hold.

    since, until: the request's time, `until` not included. mod: one of the chain's. action: a kind
    that had an effect. status: done, failed or aborted. favourite_of: a caller. text: words of the
    prompt or the output, as one types them into a search page (`"a phrase"`, `or`, `-not`).
    latencies in seconds; tokens are the output's.
    """

    since: datetime | None = None
    until: datetime | None = None
    model: str | None = None
    mod: str | None = None
    action: str | None = None
    status: str | None = None
    caller: str | None = None
    tag: str | None = None
    favourite_of: str | None = None
    text: str | None = None
    min_latency: float | None = None
    max_latency: float | None = None
    min_tokens: int | None = None
    max_tokens: int | None = None
    parent_id: str | None = None


class _Sort(NamedTuple):
    key: str
    type: str
    direction: str


SORTS = {
    "newest": _Sort("created_at", "timestamptz", "desc"),
    "oldest": _Sort("created_at", "timestamptz", "asc"),
    "slowest": _Sort("latency", "float8", "desc"),
    "fastest": _Sort("latency", "float8", "asc"),
    "longest": _Sort("output_tokens", "int", "desc"),
    "shortest": _Sort("output_tokens", "int", "asc"),
}
"""By name: the column, its type, and the direction. Ties go by request id."""

_CURSORS: dict[str, Any] = {
    "timestamptz": tuple[str, Time, str],
    "float8": tuple[str, float, str],
    "int": tuple[str, Count, str],
}


class Summary(Struct, kw_only=True):
    """A trace as a line of a list. prompt, output: their first 200 characters. Times in seconds."""

    request_id: str
    created_at: datetime
    completed_at: datetime | None
    latency: float
    time_to_first_token: float | None
    model: str
    endpoint: str
    caller: str
    status: str
    finish_reason: str
    level: str
    parent_id: str
    mods: list[str]
    actions: list[str]
    tags: list[str]
    favourite: bool
    prompt_tokens: int
    output_tokens: int
    sampled_tokens: int
    forced_tokens: int
    erased_tokens: int
    prompt: str
    output: str


class Page(Struct):
    """next: the cursor of the following page, None on the last."""

    traces: list[Summary]
    next: str | None


class Search:
    """Lists of one database's traces."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(
        self,
        filters: Filters,
        *,
        sort: str = "newest",
        limit: int = 50,
        cursor: str | None = None,
        reader: str | None = None,
    ) -> Page:
        """One page. sort: a name of `SORTS`. limit: 1 to 1000. cursor: the last page's `next`.

        reader: whose favourites are marked. Raises `CursorError`.
        """
        limit = max(1, min(limit, MAX_LIMIT))
        after = None if cursor is None else decode_cursor(cursor, sort)
        async with self._database.connection() as connection:
            rows = await _rows(connection, filters, sort, limit + 1, reader, after)
        summaries = [_summary(row) for row in rows[:limit]]
        more = len(rows) > limit
        return Page(summaries, encode_cursor(summaries[-1], sort) if more else None)


async def _rows(
    connection: Any,
    filters: Filters,
    sort: str,
    wanted: int,
    reader: str | None,
    after: tuple[Any, str] | None,
) -> list[Any]:
    """So many rows, or all there are, and perhaps more. By time, they are looked for by windows."""

    async def within(since: datetime | None, until: datetime | None) -> list[Any]:
        part = replace(filters, since=since, until=until)
        values = list_values(part, wanted, reader, after)
        return list(await connection.fetch(list_query(sort), *values))

    if SORTS[sort].key != "created_at":
        return await within(filters.since, filters.until)
    start = filters.since if after is None else after[0]
    if sort == "newest":
        start = _newest(filters.until) if after is None else after[0]
    elif start is None:
        start = await connection.fetchval(queries()["oldest_trace"]) or now()
    windows = Windows(start, filters.since, filters.until, back=sort == "newest")
    rows: list[Any] = []
    while len(rows) < wanted and (window := windows.next(len(rows), wanted)):
        rows += await within(*window)
    return rows


def _newest(until: datetime | None) -> datetime:
    return now() if until is None else min(now(), moved(until, -timedelta.resolution))


def list_query(sort: str) -> str:
    """The SQL of a list in this order."""
    key, type_, direction = SORTS[sort]
    sign = "<" if direction == "desc" else ">"
    return queries()["list_traces"].format(
        key=key, type=type_, direction=direction, bound=f"{sign}=", beyond=sign
    )


def list_values(
    filters: Filters, limit: int, reader: str | None = None, after: tuple[Any, str] | None = None
) -> list[Any]:
    """The values of its parameters."""
    given = [getattr(filters, field.name) for field in fields(filters)]
    values = [escaped(value) if isinstance(value, str) else value for value in given]
    key, request_id = after or (None, None)
    return [*values, limit, reader if reader is None else escaped(reader), key, request_id]


def encode_cursor(last: Summary, sort: str) -> str:
    """Where the next page begins: behind this one."""
    key = getattr(last, SORTS[sort].key)
    packed = msgspec.msgpack.encode((sort, key, escaped(last.request_id)))
    return base64.urlsafe_b64encode(packed).decode().rstrip("=")


def decode_cursor(cursor: str, sort: str) -> tuple[Any, str]:
    """The sort key and the id behind which to begin. Raises `CursorError`."""
    try:
        packed = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        made_for, key, request_id = msgspec.msgpack.decode(packed, type=_CURSORS[SORTS[sort].type])
        if isinstance(key, datetime):
            key = key.astimezone(UTC)
    except (ValueError, OverflowError, msgspec.DecodeError):
        raise CursorError(f"{cursor!r:.100} is no cursor of the sort {sort!r}") from None
    if "\x00" in request_id:
        raise CursorError(f"{cursor!r:.100} is no cursor: it has a NUL")
    if made_for != sort:
        raise CursorError(f"this cursor is of the sort {made_for!r}, not of {sort!r}")
    return key, request_id


def _summary(row: Any) -> Summary:
    cells = dict(row)
    for name, cell in cells.items():
        if isinstance(cell, str):
            cells[name] = plain(cell)
        elif isinstance(cell, list):
            cells[name] = [plain(item) for item in cell]
        elif isinstance(cell, datetime):
            cells[name] = cell.replace(tzinfo=UTC)  # asyncpg gives the first time there is none
    cells["favourite"] = bool(cells["favourite"])
    return Summary(**cells)
