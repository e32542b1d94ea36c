"""Puts the routes of traces into the application."""

from __future__ import annotations

from fastapi import FastAPI

from server.api.pieces import TokenPieces
from server.traces import export, ingest_route, replay_routes, routes, stream_routes
from server.traces.service import Traces


def mount_traces(app: FastAPI, kept: Traces, known: TokenPieces) -> None:
    """Serve them all. Fixed paths come before those with an id in them, which may have any `/`.

    known: of the model's tokens, for those who watch.
    """
    app.state.concordance_traces, app.state.concordance_pieces = kept, known
    for each in (ingest_route, stream_routes, export, replay_routes, routes):
        app.include_router(each.router)
