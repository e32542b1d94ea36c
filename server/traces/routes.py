"""`/logs`: list traces, open one, delete it; tags, favourites, notes; statistics."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from server.traces.asking import FILTERS, count_of, filters_of, moment_of, seen_by, sort_of
from server.traces.errors import UnknownTraceError
from server.traces.record import MAX_COUNT, now
from server.traces.routing import (
    Archived,
    Caller,
    FilterError,
    Reader,
    TraceRoute,
    json_reply,
    only,
)
from server.traces.search import MAX_LIMIT
from server.traces.trace import Trace
from server.traces.windows import DAY, moved

router = APIRouter(tags=["logs"], route_class=TraceRoute)

MAX_SPANS = 1000


class Tags(BaseModel):
    """Tags to add."""

    model_config = ConfigDict(extra="forbid")
    tags: list[Annotated[str, Field(min_length=1, max_length=100)]] = Field(max_length=100)


class NewNote(BaseModel):
    """step: the round that the note is about; left out, it is about the whole."""

    model_config = ConfigDict(extra="forbid")
    text: str = Field(min_length=1, max_length=10_000)
    step: int | None = Field(None, ge=0, le=MAX_COUNT)


@router.get("/logs")
async def list_logs(
    request: Request, archived: Archived, caller: Caller, reader: Reader
) -> Response:
    """A page of traces, by default the newest; `next` is the cursor of the following page."""
    only(request, *FILTERS, "sort", "limit", "cursor")
    query = request.query_params
    page = await archived.search.page(
        filters_of(query, caller, reader),
        sort=sort_of(query),
        limit=count_of("limit", query, 50, MAX_LIMIT),
        cursor=query.get("cursor"),
        reader=caller,
    )
    return json_reply({"object": "list", "data": page.traces, "next": page.next})


@router.get("/logs/stats")
async def statistics(request: Request, archived: Archived, reader: Reader) -> Response:
    """Of mods, of actions and of requests over time; by default of the last day, by the hour."""
    only(request, "since", "until", "hours", "model", "caller")
    query = request.query_params
    until = moment_of("until", query["until"]) if "until" in query else now() + timedelta(hours=1)
    since = moment_of("since", query["since"]) if "since" in query else moved(until, -DAY)
    span = timedelta(hours=count_of("hours", query, 1, 24 * 366))
    caller = seen_by(reader, query.get("caller"))
    if (until - since) / span > MAX_SPANS:
        raise FilterError("hours", f"that is more than {MAX_SPANS} spans: give larger `hours`")
    told = archived.statistics
    mods, actions, requests = await asyncio.gather(
        told.mods(since, until, caller),
        told.actions(since, until, caller),
        told.requests(since, until, caller, model=query.get("model"), span=span),
    )
    return json_reply(
        {"since": since, "until": until, "mods": mods, "actions": actions, "requests": requests}
    )


@router.post("/logs/{request_id:name}/tags")
async def add_tags(request_id: str, given: Tags, archived: Archived, reader: Reader) -> Response:
    tags = await archived.annotations.tag(request_id, given.tags, caller=reader)
    return json_reply({"tags": tags})


@router.delete("/logs/{request_id:name}/tags/{tag:name}")
async def remove_tag(request_id: str, tag: str, archived: Archived, reader: Reader) -> Response:
    tags = await archived.annotations.tag(request_id, [tag], remove=True, caller=reader)
    return json_reply({"tags": tags})


@router.put("/logs/{request_id:name}/favourite")
async def favour(request_id: str, archived: Archived, caller: Caller, reader: Reader) -> Response:
    await archived.annotations.favour(request_id, caller, caller=reader)
    return json_reply({"favourite": True})


@router.delete("/logs/{request_id:name}/favourite")
async def no_longer_favour(
    request_id: str, archived: Archived, caller: Caller, reader: Reader
) -> Response:
    await archived.annotations.favour(request_id, caller, remove=True, caller=reader)
    return json_reply({"favourite": False})


@router.get("/logs/{request_id:name}/notes")
async def list_notes(request_id: str, archived: Archived, reader: Reader) -> Response:
    notes = await archived.annotations.notes(request_id, caller=reader)
    return json_reply({"object": "list", "data": notes})


@router.post("/logs/{request_id:name}/notes", status_code=201)
async def add_note(
    request_id: str, given: NewNote, archived: Archived, caller: Caller, reader: Reader
) -> Response:
    note = await archived.annotations.note(
        request_id, caller, given.text, step=given.step, caller=reader
    )
    return json_reply(note, 201)


@router.delete("/logs/{request_id:name}/notes/{number}")
async def delete_note(
    request_id: str, number: int, archived: Archived, caller: Caller, reader: Reader
) -> Response:
    if not await archived.annotations.delete_note(request_id, number, author=caller, caller=reader):
        raise UnknownTraceError(f"trace {request_id!r:.200} has no note {number} of yours")
    return json_reply({"deleted": True})


@router.get("/logs/{request_id:name}")
async def show_log(
    request_id: str,
    request: Request,
    archived: Archived,
    caller: Caller,
    reader: Reader,
    view: Literal["record", "story"] = "record",
) -> Response:
    """One trace, whole: in five parts; or, with `view=story`, as the arrays it is kept as."""
    only(request, "view")
    stored = await archived.store.read(request_id, reader)
    notes = await archived.annotations.notes(request_id, caller=reader)
    about = {
        "tags": stored.tags, "favourite": caller in stored.favourites, "notes": notes,
    }  # fmt: skip
    return await asyncio.to_thread(_whole, stored.trace, view, about)


def _whole(trace: Trace, view: str, about: dict[str, Any]) -> Response:
    if view == "story":
        parts: dict[str, Any] = {
            "version": trace.version,
            "request": trace.request,
            "story": trace.story,
            "calls": trace.calls,
            "failures": trace.failures,
            "mod_logs": trace.logs,
            "actions": trace.actions,
        }
        if trace.events is not None:
            parts["events"] = trace.events
    else:
        record = trace.record()
        parts = {name: getattr(record, name) for name in record.__struct_fields__}
    return json_reply({**parts, **about})


@router.delete("/logs/{request_id:name}")
async def delete_log(request_id: str, archived: Archived, reader: Reader) -> Response:
    """Forget a trace and its notes. Statistics keep what it added."""
    await archived.store.delete(request_id, reader)
    return json_reply({"object": "log", "request_id": request_id, "deleted": True})
