"""`POST /v1/ingest`: a record from outside, checked, and acknowledged once it is on disk."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, Request, Response

from server.traces.errors import AwayError
from server.traces.routing import Kept, Reader, TooLargeError, TraceRoute, json_reply
from server.traces.segment import MAX_FRAME
from server.traces.trace import Trace

router = APIRouter(tags=["logs"], route_class=TraceRoute)

MAX_BODY = 32 * 2**20
"""Bytes of one record at most: some three hundred thousand events."""


@router.post("/v1/ingest", status_code=201)
async def ingest(request: Request, kept: Kept, reader: Reader) -> Response:
    """Keep a record. One whose `request_id` is there already changes nothing.

    It is the caller's own, whoever it says it is of, unless an administrator sends it.
    """
    if kept.spool is None:
        raise AwayError(f"this server keeps no traces: {'; '.join(kept.missing)}")
    body = await _body(request)
    trace = await asyncio.to_thread(_trace, body)
    if reader is not None:
        trace.request.caller = reader
    if not await asyncio.wrap_future(kept.spool.append(trace)):
        raise AwayError("the spool cannot take the record now; try again later")
    told = {"object": "log", "request_id": trace.request.request_id, "durable": True}
    return json_reply(told, 201)


def _trace(body: bytes) -> Trace:
    """Raises `RecordError`, and `TooLargeError` for what the spool could never take: the record
    says a thing once that the trace says often."""
    trace = Trace.from_json(body)
    size = len(trace.encode())
    if size > MAX_FRAME:
        raise TooLargeError(f"a trace may have {MAX_FRAME} bytes at most; this one has {size}")
    return trace


async def _body(request: Request) -> bytes:
    """Counts what comes, whatever the header says."""
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > MAX_BODY:
            raise TooLargeError(f"a record may have {MAX_BODY} bytes at most")
        parts.append(part)
    return b"".join(parts)
