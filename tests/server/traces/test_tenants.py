"""Two users at one server: each sees their own traces, an administrator everybody's."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from server.api.pieces import TokenPieces
from server.traces.archive import Archive
from server.traces.database import fixed
from server.traces.errors import AwayError
from server.traces.live import Live
from server.traces.mounting import mount_traces
from server.traces.record import now
from server.traces.service import Traces
from server.traces.spool import Spool
from server.traces.store import Store
from server.traces.watching import Observer
from tests.server.api.gates import Keys, client_of, gate_before
from tests.server.traces.making import made, modded


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    keys = Keys(tmp_path / "home")
    for user in ("ann", "bob"):
        keys.add(user, "infer", "mods", "traces")
    keys.add("root", "admin")
    return keys


@pytest.fixture
async def kept(url: str, tmp_path: Path) -> AsyncIterator[Traces]:
    spool, archive, live = Spool(tmp_path / "spool"), Archive(fixed(url)), Live()
    yield Traces(Observer(spool, live=live), archive, live, spool)
    await archive.close()
    spool.close()


class Replays:
    """Runs nothing again."""

    async def run(self, *_: Any, **__: Any) -> None:
        raise AssertionError("another's trace was replayed")


@pytest.fixture
async def client(kept: Traces, keys: Keys, store: Store) -> AsyncIterator[httpx.AsyncClient]:
    app = FastAPI()
    mount_traces(app, kept, TokenPieces(None))
    app.state.concordance_replayer = Replays()
    start = now() - timedelta(minutes=10)
    await store.write([
        made("hers", caller="ann", created_at=start, final_text="apples"),
        modded("his", caller="bob", created_at=start + timedelta(minutes=1)),
    ])  # fmt: skip
    async with client_of(gate_before(app, keys.home, app)) as client:
        yield client


async def ids(client: httpx.AsyncClient, keys: Keys, user: str, **query: Any) -> list[str]:
    reply = await client.get("/logs", params=query, headers=keys.headers(user))
    assert reply.status_code == 200, reply.text
    return [trace["request_id"] for trace in reply.json()["data"]]


async def test_a_list_has_one_s_own_traces(client: httpx.AsyncClient, keys: Keys) -> None:
    assert await ids(client, keys, "ann") == ["hers"]
    assert await ids(client, keys, "bob", caller="bob") == ["his"]
    assert await ids(client, keys, "root") == ["his", "hers"]
    assert await ids(client, keys, "root", caller="ann") == ["hers"]
    for path in ("/logs?caller=ann", "/logs/export?caller=ann", "/logs/stats?caller=ann"):
        refused = await client.get(path, headers=keys.headers("bob"))
        assert (refused.status_code, refused.json()["error"]["param"]) == (400, "caller")


ON_ANOTHERS = [
    ("GET", "/logs/hers", None),
    ("GET", "/logs/hers?view=story", None),
    ("DELETE", "/logs/hers", None),
    ("POST", "/logs/hers/tags", {"tags": ["x"]}),
    ("DELETE", "/logs/hers/tags/x", None),
    ("PUT", "/logs/hers/favourite", None),
    ("DELETE", "/logs/hers/favourite", None),
    ("GET", "/logs/hers/notes", None),
    ("POST", "/logs/hers/notes", {"text": "x"}),
    ("DELETE", "/logs/hers/notes/1", None),
    ("POST", "/logs/hers/replay", {}),
    ("GET", "/logs/hers/diff/his", None),
    ("GET", "/logs/his/diff/hers", None),
]


def test_every_route_that_names_a_trace_is_tried(kept: Traces) -> None:
    app = FastAPI()
    mount_traces(app, kept, TokenPieces(None))
    routes: list[Any] = list(app.routes)
    there = {
        (method, route.path)
        for route in routes
        if "{" in (path := getattr(route, "path", "")) and path.startswith("/logs")
        for method in getattr(route, "methods", ())
    }
    tried = {
        (method, route.path)
        for method, path, _ in ON_ANOTHERS
        for route in routes
        if (method, getattr(route, "path", "")) in there
        and route.path_regex.match(path.partition("?")[0])
    }
    assert there == tried


@pytest.mark.parametrize(("method", "path", "body"), ON_ANOTHERS)
async def test_another_s_trace_is_as_if_it_were_not_there(
    client: httpx.AsyncClient, keys: Keys, store: Store, method: str, path: str, body: Any
) -> None:
    headers = keys.headers("bob")
    refused = await client.request(method, path, headers=headers, json=body)
    nowhere = await client.request(method, path.replace("hers", "none"), headers=headers, json=body)
    assert (refused.status_code, nowhere.status_code) == (404, 404)
    assert refused.json()["error"]["type"] == nowhere.json()["error"]["type"]
    whole = await store.read("hers")
    assert (whole.tags, whole.favourites) == ([], [])


async def test_one_s_own_trace_is_open_to_oneself_and_to_administrators(
    client: httpx.AsyncClient, keys: Keys
) -> None:
    for user in ("ann", "root"):
        headers = keys.headers(user)
        assert (await client.get("/logs/hers", headers=headers)).status_code == 200
        tagged = await client.post("/logs/hers/tags", headers=headers, json={"tags": [user]})
        assert user in tagged.json()["tags"]
    notes = await client.post("/logs/hers/notes", headers=keys.headers("ann"), json={"text": "a"})
    assert notes.status_code == 201


async def test_statistics_and_exports_have_one_s_own(client: httpx.AsyncClient, keys: Keys) -> None:
    counts = {}
    for user in ("ann", "bob", "root"):
        told = (await client.get("/logs/stats", headers=keys.headers(user))).json()
        lines = (await client.get("/logs/export", headers=keys.headers(user))).text.splitlines()
        counts[user] = sum(span["requests"] for span in told["requests"]), len(lines)
    assert counts == {"ann": (1, 1), "bob": (1, 1), "root": (2, 2)}


async def test_a_record_from_outside_is_its_sender_s(
    client: httpx.AsyncClient, keys: Keys, kept: Traces
) -> None:
    written: list[Any] = []
    assert kept.spool is not None
    append = kept.spool.append
    kept.spool.append = lambda trace: (written.append(trace), append(trace))[1]  # type: ignore
    for user in ("bob", "root"):
        body = made(f"from-{user}", caller="ann").record().to_json()
        reply = await client.post("/v1/ingest", content=body, headers=keys.headers(user))
        assert reply.status_code == 201
    assert [trace.request.caller for trace in written] == ["bob", "ann"]


def test_a_socket_tells_of_one_s_own_requests(keys: Keys) -> None:
    async def nowhere() -> str:
        raise AwayError("there is none")

    live, app = Live(), FastAPI()
    mount_traces(app, Traces(Observer(None, live=live), Archive(nowhere), live), TokenPieces(None))
    gate = gate_before(app, keys.home, app)
    with (
        TestClient(gate) as client,
        client.websocket_connect("/logs/stream", headers=keys.headers("bob")) as bob,
        client.websocket_connect("/logs/stream", headers=keys.headers("root")) as root,
    ):
        while len(live._watchers) < 2:
            client.portal.call(_moment)  # type: ignore[union-attr]
        for user in ("ann", "bob"):
            message = {"type": "begun", "request_id": user}
            client.portal.call(live.tell, user, message)  # type: ignore[union-attr]
        assert bob.receive_json()["request_id"] == "bob"
        assert [root.receive_json()["request_id"] for _ in range(2)] == ["ann", "bob"]


async def _moment() -> None:
    import asyncio

    await asyncio.sleep(0.01)


async def test_events_tell_of_one_s_own_requests(kept: Traces) -> None:
    from server.traces.stream_routes import _events

    events: Any = _events(kept, {}, TokenPieces(None), "bob")
    await anext(events)
    for user in ("ann", "bob"):
        kept.live.tell(user, {"type": "begun", "request_id": user})
    assert json.loads((await anext(events))[6:])["request_id"] == "bob"
    await events.aclose()
