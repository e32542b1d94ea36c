"""Traces and tags of any name are reached by their addresses, and are in no fixed address's way."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from fastapi import FastAPI

from server.api.doors import Doors
from server.api.pieces import TokenPieces
from server.traces.archive import Archive
from server.traces.database import fixed
from server.traces.live import Live
from server.traces.mounting import mount_traces
from server.traces.service import Traces
from server.traces.store import Store
from server.traces.watching import Observer
from tests.server.traces.making import made

NAMES = ["chatcmpl-team/42-0a1b2c3d", "a/b/c", "/a", "a/", "a\nb", "a\n", "notes/5", "é ?#%2F"]
TAG = "team/a"


@dataclass
class Replayed:
    request_id: str


class Replays:
    async def run(self, trace: Any, *_: Any, **__: Any) -> Replayed:
        return Replayed(f"again {trace.request.request_id}")


@pytest.fixture
async def app(url: str, store: Store) -> AsyncIterator[FastAPI]:
    await store.write([made(name) for name in ("one", *NAMES)])
    archive, live = Archive(fixed(url)), Live()
    app = FastAPI()
    mount_traces(app, Traces(Observer(None, live=live), archive, live), TokenPieces(None))
    app.state.concordance_replayer = Replays()
    yield app
    await archive.close()


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://server") as client:
        yield client


@pytest.mark.parametrize("kept", ["", "/"], ids=["encoded", "plain"])
async def test_a_trace_of_any_name_is_read_changed_and_deleted(
    client: httpx.AsyncClient, kept: str
) -> None:
    async def asked(method: str, path: str, **body: Any) -> Any:
        answer = await client.request(method, path, **body)
        assert answer.is_success, (method, path, answer.text)
        return answer.json()

    for name in NAMES:
        at = f"/logs/{quote(name, safe=kept)}"
        assert (await asked("GET", at))["request"]["request_id"] == name
        assert "story" in await asked("GET", f"{at}?view=story")
        assert await asked("POST", f"{at}/tags", json={"tags": [TAG]}) == {"tags": [TAG]}
        assert await asked("DELETE", f"{at}/tags/{quote(TAG, safe=kept)}") == {"tags": []}
        assert (await asked("PUT", f"{at}/favourite"))["favourite"]
        assert not (await asked("DELETE", f"{at}/favourite"))["favourite"]
        note = await asked("POST", f"{at}/notes", json={"text": "here"})
        assert (await asked("GET", f"{at}/notes"))["data"] == [note]
        assert (await asked("DELETE", f"{at}/notes/{note['id']}"))["deleted"]
        assert (await asked("POST", f"{at}/replay", json={}))["request_id"] == f"again {name}"
        assert (await asked("GET", f"{at}/diff/{quote(name, safe=kept)}"))["same"] == 3
        assert (await asked("DELETE", at))["request_id"] == name
        gone = await client.get(at)
        assert (gone.status_code, gone.json()["error"]["type"]) == (404, "trace_unknowntrace")
    assert (await asked("GET", "/logs/one"))["request"]["request_id"] == "one"


async def test_fixed_addresses_are_no_ids(client: httpx.AsyncClient) -> None:
    assert "mods" in (await client.get("/logs/stats")).json()
    exported = await client.get("/logs/export")
    assert exported.headers["content-type"].startswith("application/x-ndjson")
    assert "unknown filter" in (await client.get("/logs/stream?odd=1")).text
    assert (await client.get("/logs/", follow_redirects=True)).json()["object"] == "list"


async def test_an_address_needs_what_it_needed(app: FastAPI) -> None:
    doors = Doors(app)
    for path in ("/logs/a/b", "/logs/a/b/tags/c/d", "/logs/a/b/diff/c/d", "/logs/stats"):
        assert doors.needed(path) == frozenset(["traces"]), path
    assert doors.needed("/logs/a/b/replay") == frozenset(["traces", "infer"])
