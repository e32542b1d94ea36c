"""`GET /logs/export`: traces that fit the filters, as JSON lines or as a Parquet file."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from typing import IO, Any, Literal

from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse

from server.traces.archive import Shelves
from server.traces.asking import FILTERS, count_of, filters_of, sort_of
from server.traces.errors import UnknownTraceError
from server.traces.routing import Archived, Caller, Reader, TraceRoute, only
from server.traces.search import Filters, Summary
from server.traces.trace import Trace

router = APIRouter(tags=["logs"], route_class=TraceRoute)

Found = tuple[Summary, Trace]

MAX_TRACES = 100_000
PAGE = 200
MAX_TOKENS = 100_000
"""A row group of a Parquet file ends with the trace that has it reach this, or `PAGE` traces. So
much is in memory at a time."""
CHUNK = 2**16
"""Bytes of a file that are sent at a time."""


@router.get("/logs/export", response_class=StreamingResponse)
async def export(
    request: Request,
    archived: Archived,
    caller: Caller,
    reader: Reader,
    format: Literal["json", "parquet"] = "json",
) -> Response:
    """Whole records, one on a line; or a table with a row for each trace, its story in lists."""
    only(request, *FILTERS, "sort", "limit", "format")
    query = request.query_params
    filters, sort = filters_of(query, caller, reader), sort_of(query)
    most = count_of("limit", query, 1000, MAX_TRACES)
    found = traces(archived, filters, sort, most)
    if format == "parquet":
        return _sent(await _parquet(found))
    first = await anext(found, None)  # now, while there can be another status
    return StreamingResponse(_lines(first, found), media_type="application/x-ndjson")


async def traces(archived: Shelves, filters: Filters, sort: str, most: int) -> AsyncIterator[Found]:
    """One after the other; those that are deleted meanwhile are passed over."""
    cursor: str | None = None
    while most > 0:
        page = await archived.search.page(filters, sort=sort, limit=min(PAGE, most), cursor=cursor)
        for summary in page.traces:
            try:
                yield summary, (await archived.store.read(summary.request_id)).trace
            except UnknownTraceError:
                continue
        most, cursor = most - len(page.traces), page.next
        if cursor is None:
            return


async def _lines(first: Found | None, others: AsyncIterator[Found]) -> AsyncIterator[bytes]:
    if first is not None:
        yield await asyncio.to_thread(_line, first[1])
    async for _, trace in others:
        yield await asyncio.to_thread(_line, trace)


def _line(trace: Trace) -> bytes:
    return trace.record().to_json() + b"\n"


def row_of(summary: Summary, trace: Trace) -> dict[str, Any]:
    """A trace as a row: what is searched by, the texts, and the story."""
    request, story = trace.request, trace.story
    row = {name: getattr(summary, name) for name in summary.__struct_fields__}
    del row["favourite"]
    return {
        **row,
        "prompt": request.user_prompt,
        "output": request.final_text,
        "error": request.error.message if request.error else None,
        "prompt_token_ids": request.user_prompt_token_ids,
        "final_token_ids": request.final_token_ids,
        "token_ids": story.tokens,
        "origins": story.origins,
        "token_mods": story.mods,
        "rounds": story.rounds,
        "times": story.times,
        "probabilities": story.probabilities,
        "erased_by": story.erased,
        "entropies": story.entropies,
    }


async def _parquet(found: AsyncIterator[Found]) -> IO[bytes]:
    """A Parquet file of these, without a name, at its end; it is the caller's to close."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    def write(rows: list[dict[str, Any]]) -> None:
        writer.write_table(pa.Table.from_pylist(rows, schema))

    schema = _schema()
    with ExitStack() as unless_whole:
        file = unless_whole.enter_context(tempfile.TemporaryFile())
        with pq.ParquetWriter(file, schema) as writer:
            async for rows in _row_groups(found):
                await asyncio.to_thread(write, rows)
        unless_whole.pop_all()
    return file


async def _row_groups(found: AsyncIterator[Found]) -> AsyncIterator[list[dict[str, Any]]]:
    rows: list[dict[str, Any]] = []
    tokens = 0
    async for summary, trace in found:
        rows.append(row_of(summary, trace))
        tokens += len(trace.request.user_prompt_token_ids) + len(trace.story.tokens)
        if len(rows) == PAGE or tokens >= MAX_TOKENS:
            yield rows
            rows, tokens = [], 0
    if rows:
        yield rows


def _schema() -> Any:
    """The columns of a row."""
    import pyarrow as pa

    texts = [
        *("request_id", "model", "endpoint", "caller", "status", "finish_reason", "level"),
        *("parent_id", "prompt", "output", "error"),
    ]
    times = ["created_at", "completed_at"]
    floats = ["latency", "time_to_first_token"]
    counts = [f"{kind}_tokens" for kind in ("prompt", "output", "sampled", "forced", "erased")]
    words = ["mods", "actions", "tags"]
    ints = [
        *("prompt_token_ids", "final_token_ids", "token_ids", "origins", "token_mods", "rounds"),
        *("times", "erased_by"),
    ]
    reals = ["probabilities", "entropies"]
    kinds = (
        (texts, pa.string()), (times, pa.timestamp("us", "UTC")), (floats, pa.float64()),
        (counts, pa.int32()), (words, pa.list_(pa.string())), (ints, pa.list_(pa.int64())),
        (reals, pa.list_(pa.float64())),
    )  # fmt: skip
    return pa.schema([(name, kind) for names, kind in kinds for name in names])


def _sent(file: IO[bytes]) -> Response:
    """All of the file, which is closed then."""

    def chunks() -> Iterator[bytes]:
        with file:
            while chunk := file.read(CHUNK):
                yield chunk

    headers = {
        "content-disposition": 'attachment; filename="traces.parquet"',
        "content-length": str(file.tell()),
    }
    file.seek(0)
    return StreamingResponse(chunks(), media_type="application/vnd.apache.parquet", headers=headers)
