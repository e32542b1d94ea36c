"""`GET /v1/limits`: what this server allows a key, and what is left of it."""

from __future__ import annotations

from typing import cast

import msgspec
from fastapi import APIRouter, Request, Response

from server.keys.passes import held_by
from server.limits.limiter import Limiter

router = APIRouter(tags=["limits"])


@router.get("/v1/limits")
async def limits(request: Request) -> Response:
    """Every limit by its name; who you are; what of your rates is left, and what is under way.

    A rate, and a number of requests at once, of 0 is no limit. An open server limits nobody's
    rates.
    """
    limiter = cast(Limiter, request.app.state.concordance_limiter)
    held = held_by(request.scope)
    told = {
        "object": "limits",
        "user": held.user,
        "scopes": sorted(held.scopes),
        "limits": limiter.limits,
        "now": limiter.left(held.key),
    }
    return Response(msgspec.json.encode(told), media_type="application/json")
