"""`/logs/stream`: what goes on now, as server-sent events or over a WebSocket.

Messages are JSON objects with a `type`: `begun`, `tokens`, `ended`, and `missed` for one who reads
too slowly. `?tokens=false` leaves the tokens out, `?request_id=` all but one request.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any, cast

import msgspec
from fastapi import APIRouter, Request, WebSocket, WebSocketDisconnect
from fastapi.responses import StreamingResponse

from server.api.pieces import TokenPieces
from server.mods.caller import reader_of
from server.traces.live import Watcher
from server.traces.routing import Kept, Reader, TraceRoute, only
from server.traces.service import Traces

router = APIRouter(tags=["logs"], route_class=TraceRoute)

PARAMETERS = ("tokens", "request_id")
QUIET_SECONDS = 15.0
"""After so long without a message a comment goes out, so that no proxy takes it for dead."""


@router.get("/logs/stream", response_class=StreamingResponse)
async def stream(request: Request, kept: Kept, reader: Reader) -> StreamingResponse:
    """Server-sent events, each with a JSON object as its data."""
    only(request, *PARAMETERS)
    headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
    pieces: TokenPieces = request.app.state.concordance_pieces
    return StreamingResponse(
        _events(kept, request.query_params, pieces, reader),
        media_type="text/event-stream",
        headers=headers,
    )


@router.websocket("/logs/stream")
async def socket(socket: WebSocket) -> None:
    """The same messages, each a text frame."""
    kept = cast(Traces, socket.app.state.concordance_traces)
    pieces: TokenPieces = socket.app.state.concordance_pieces
    await socket.accept()
    gone = asyncio.create_task(_until_gone(socket))
    try:
        with kept.live.watch(reader_of(socket)) as watcher:
            while not gone.done():
                message = await _next(watcher, gone)
                if message is not None and wanted(message, socket.query_params):
                    await socket.send_text(_as_json(message, pieces).decode())
    except WebSocketDisconnect:
        pass
    finally:
        gone.cancel()


async def _events(
    kept: Traces, query: Mapping[str, str], pieces: TokenPieces, reader: str | None
) -> AsyncIterator[bytes]:
    with kept.live.watch(reader) as watcher:
        yield b": watching\n\n"
        while True:
            try:
                message = await asyncio.wait_for(watcher.next(), QUIET_SECONDS)
            except TimeoutError:
                yield b": nothing\n\n"
                continue
            if wanted(message, query):
                yield b"data: " + _as_json(message, pieces) + b"\n\n"


def _as_json(message: Mapping[str, Any], pieces: TokenPieces) -> bytes:
    """As it is sent: tokens with what each reads as. Only for those who want them."""
    if message["type"] == "tokens":
        message = {**message, "pieces": pieces.of(message["tokens"])}
    return msgspec.json.encode(message)


def wanted(message: Mapping[str, Any], query: Mapping[str, str]) -> bool:
    """Whether the one who asked so is told this."""
    if message["type"] == "tokens" and query.get("tokens", "").lower() in ("false", "0"):
        return False
    only_one = query.get("request_id")
    return only_one is None or message.get("request_id", only_one) == only_one


async def _next(watcher: Watcher, gone: asyncio.Task[None]) -> dict[str, Any] | None:
    """The next message, None once the client has gone."""
    coming = asyncio.ensure_future(watcher.next())
    await asyncio.wait({coming, gone}, return_when=asyncio.FIRST_COMPLETED)
    if coming.done():
        return coming.result()
    coming.cancel()
    return None


async def _until_gone(socket: WebSocket) -> None:
    """What the client sends is of no interest but for its going away."""
    while (await socket.receive())["type"] != "websocket.disconnect":
        pass
