"""`GET /logs/export`: traces that fit the filters, as JSON lines or as a Parquet file."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from typing import Any, Literal

from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse

from server.traces.archive import Shelves
from server.traces.asking import FILTERS, filters_of, limit_of, sort_of
from server.traces.errors import UnknownTraceError
from server.traces.routing import Archived, Caller, Reader, TraceRoute, only
from server.traces.search import Filters, Summary
from server.traces.trace import Trace

router = APIRouter(tags=["logs"], route_class=TraceRoute)

MAX_TRACES = 100_000
PAGE = 200


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
    most = limit_of(query, 1000, MAX_TRACES)
    found = traces(archived, filters, sort, most)
    if format == "json":
        return StreamingResponse(_lines(found), media_type="application/x-ndjson")
    rows = [row_of(summary, trace) async for summary, trace in found]
    data = await asyncio.to_thread(parquet, rows)
    headers = {"content-disposition": 'attachment; filename="traces.parquet"'}
    return Response(data, media_type="application/vnd.apache.parquet", headers=headers)


async def traces(
    archived: Shelves, filters: Filters, sort: str, most: int
) -> AsyncIterator[tuple[Summary, Trace]]:
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


async def _lines(found: AsyncIterator[tuple[Summary, Trace]]) -> AsyncIterator[bytes]:
    async for _, trace in found:
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


def parquet(rows: list[dict[str, Any]]) -> bytes:
    """A Parquet file of these rows."""
    import pyarrow as pa
    import pyarrow.parquet as pq

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
    schema = pa.schema([(name, kind) for names, kind in kinds for name in names])
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema), sink)
    return sink.getvalue()
