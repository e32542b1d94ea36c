"""`POST /logs/{id}/replay` and `GET /logs/{a}/diff/{b}`."""

from __future__ import annotations

import asyncio
from typing import Annotated, Literal, cast

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from vllm.exceptions import GracefulHTTPError, VLLMClientError

from server.api.errors import error_response
from server.api.gone import unless_gone
from server.traces.diff import diff
from server.traces.record import MAX_COUNT
from server.traces.replay import Replayer
from server.traces.routing import Archived, Caller, Reader, TraceRoute, json_reply

router = APIRouter(tags=["logs"], route_class=TraceRoute)


class Replay(BaseModel):
    """step: the round from which to branch; left out, everything is run again. mods: names, in
    place of the trace's own; `[]` for none. trace: how much of it to trace."""

    model_config = ConfigDict(extra="forbid")
    step: int | None = Field(None, ge=0, le=MAX_COUNT)
    mods: list[str] | None = Field(None, max_length=32)
    trace: Literal["tokens", "full"] | None = None


def replayer_of(request: Request) -> Replayer:
    return cast(Replayer, request.app.state.concordance_replayer)


@router.post("/logs/{request_id:name}/replay", status_code=201)
async def replay(
    request_id: str,
    request: Request,
    given: Replay,
    archived: Archived,
    caller: Caller,
    reader: Reader,
    replayer: Annotated[Replayer, Depends(replayer_of)],
) -> Response:
    """Run a trace again, and wait for it. The new trace names this one as its parent.

    It ends where the client goes away.
    """
    stored = await archived.store.read(request_id, reader)
    try:
        # In a task of its own: what is set in its context is set nowhere else.
        work = replayer.run(
            stored.trace, caller, step=given.step, mods=given.mods, level=given.trace
        )
        made = await unless_gone(request, work)
    except (GracefulHTTPError, VLLMClientError) as error:
        status = int(error.http_status) if isinstance(error, GracefulHTTPError) else 400
        return error_response(status, "replay_failed", str(error))
    told = {name: getattr(made, name) for name in made.__dataclass_fields__}
    return json_reply({"parent_id": request_id, "parent_step": given.step, **told}, 201)


@router.get("/logs/{a:name}/diff/{b:name}")
async def show_diff(a: str, b: str, archived: Archived, reader: Reader) -> Response:
    """Both outputs with their origins, and the blocks in which they agree and differ."""
    one, other = await archived.store.read(a, reader), await archived.store.read(b, reader)
    return json_reply(await asyncio.to_thread(diff, one.trace, other.trace))
