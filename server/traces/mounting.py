"""Puts the routes of traces into the application."""

from __future__ import annotations

from fastapi import FastAPI

from server.traces import export, ingest_route, replay_routes, routes, stream_routes
from server.traces.service import Traces


def mount_traces(app: FastAPI, kept: Traces) -> None:
    """Serve them all. Fixed paths come before those with an id in them."""
    app.state.concordance_traces = kept
    for each in (ingest_route, stream_routes, export, routes, replay_routes):
        app.include_router(each.router)
