"""The routes of traces, over a real Postgres: listing, opening, changing, exporting, ingesting."""

from __future__ import annotations

import asyncio
import io
import json
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pyarrow.parquet as pq
import pytest
from fastapi import FastAPI

from server.api.pieces import TokenPieces
from server.mods.caller import LOCAL
from server.traces import export
from server.traces.archive import Archive
from server.traces.database import fixed
from server.traces.errors import AwayError
from server.traces.ingest_route import MAX_BODY
from server.traces.live import Live
from server.traces.mounting import mount_traces
from server.traces.record import now
from server.traces.service import Traces
from server.traces.spool import Spool
from server.traces.store import Store
from server.traces.trace import Trace
from server.traces.watching import Observer
from tests.server.traces.making import made, modded


@pytest.fixture
async def kept(url: str, tmp_path: Path) -> AsyncIterator[Traces]:
    spool, archive = Spool(tmp_path / "spool"), Archive(fixed(url))
    live = Live()
    yield Traces(Observer(spool, live=live), archive, live, spool)
    await archive.close()
    spool.close()


class Letters:
    """A tokenizer of the small letters."""

    def __len__(self) -> int:
        return 26

    def encode(self, text: str, add_special_tokens: bool) -> list[int]:
        return [ord(letter) - ord("a") for letter in text]

    def decode(self, tokens: list[int]) -> str:
        return "".join(chr(token + ord("a")) for token in tokens)


def client_of(kept: Traces) -> httpx.AsyncClient:
    app = FastAPI()
    mount_traces(app, kept, TokenPieces(Letters()))
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://server")


@pytest.fixture
async def client(kept: Traces) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(kept) as client:
        yield client


@pytest.fixture
async def stored(store: Store) -> Store:
    """Four traces, the oldest first."""
    start = now() - timedelta(hours=2)
    times = [start + timedelta(minutes=n) for n in range(4)]
    await store.write([
        made("one", created_at=times[0], model="a"),
        modded("two", created_at=times[1], model="b"),
        made("three", tokens=9, created_at=times[2], model="b", final_text="apples and pears"),
        made("four", created_at=times[3], finish_reason="abort"),
    ])  # fmt: skip
    return store


async def ids(client: httpx.AsyncClient, **query: Any) -> list[str]:
    reply = await client.get("/logs", params=query)
    assert reply.status_code == 200, reply.text
    return [trace["request_id"] for trace in reply.json()["data"]]


async def refused(reply: httpx.Response, status: int) -> dict[str, Any]:
    assert reply.status_code == status, reply.text
    error: dict[str, Any] = reply.json()["error"]
    assert error["code"] == status
    return error


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({}, ["four", "three", "two", "one"]),
        ({"sort": "oldest", "limit": 2}, ["one", "two"]),
        ({"sort": "longest", "limit": 1}, ["three"]),
        ({"model": "b"}, ["three", "two"]),
        ({"mod": "calm"}, ["two"]),
        ({"action": "backtrack"}, ["two"]),
        ({"status": "aborted"}, ["four"]),
        ({"text": "pears"}, ["three"]),
        ({"min_tokens": 4}, ["three"]),
        ({"min_latency": 2.5}, []),
        ({"caller": "nobody"}, []),
        ({"favourite": "true"}, []),
    ],
)
async def test_a_list_holds_what_fits_its_filters(
    client: httpx.AsyncClient, stored: Store, query: dict[str, Any], found: list[str]
) -> None:
    assert await ids(client, **query) == found


async def test_pages_follow_each_other_by_their_cursors(
    client: httpx.AsyncClient, stored: Store
) -> None:
    seen: list[str] = []
    query: dict[str, Any] = {"limit": 1}
    while True:
        page = (await client.get("/logs", params=query)).json()
        seen += [trace["request_id"] for trace in page["data"]]
        if page["next"] is None:
            break
        query["cursor"] = page["next"]
    assert seen == ["four", "three", "two", "one"]


@pytest.mark.parametrize(
    ("path", "param"),
    [
        ("/logs?modl=a", "modl"),
        ("/logs?sort=best", "sort"),
        ("/logs?limit=0", "limit"),
        ("/logs?limit=x", "limit"),
        ("/logs?since=soon", "since"),
        ("/logs?status=odd", "status"),
        ("/logs?min_tokens=1e99", "min_tokens"),
        ("/logs?min_latency=nan", "min_latency"),
        ("/logs?favourite=maybe", "favourite"),
        ("/logs?cursor=nonsense", None),
        ("/logs/stats?modl=a", "modl"),
        ("/logs/stats?hours=0", "hours"),
        ("/logs/export?format=xml", "format"),
        ("/logs/export?limit=999999999", "limit"),
        ("/logs/one?view=odd", "view"),
        ("/logs/stream?odd=1", "odd"),
    ],
)
async def test_a_query_that_cannot_be_understood_is_a_400_that_names_its_part(
    client: httpx.AsyncClient, stored: Store, path: str, param: str | None
) -> None:
    assert (await refused(await client.get(path), 400))["param"] == param


async def test_a_trace_is_opened_whole_or_as_its_story(
    client: httpx.AsyncClient, stored: Store
) -> None:
    whole = (await client.get("/logs/two")).json()
    trace = (await stored.read("two")).trace
    assert json.loads(trace.record().to_json()).items() <= whole.items()
    assert (whole["tags"], whole["favourite"], whole["notes"]) == ([], False, [])
    story = (await client.get("/logs/two?view=story")).json()
    assert story["story"]["tokens"] == trace.story.tokens
    assert "events" not in story


async def test_events_that_do_not_follow_from_a_story_come_with_it(
    client: httpx.AsyncClient, stored: Store
) -> None:
    events = [{"event_type": "ForwardPass", "step": 2_000_000_000}]
    odd = Trace.from_json(json.dumps({"request": {"request_id": "odd"}, "events": events}))
    await stored.write([odd])
    told = (await client.get("/logs/odd?view=story")).json()
    assert [event["step"] for event in told["events"]] == [2_000_000_000]


async def test_tags_favourites_and_notes_are_added_and_taken_away(
    client: httpx.AsyncClient, stored: Store
) -> None:
    reply = await client.post("/logs/one/tags", json={"tags": ["good", "odd"]})
    assert reply.json() == {"tags": ["good", "odd"]}
    assert await ids(client, tag="odd") == ["one"]
    assert (await client.delete("/logs/one/tags/odd")).json() == {"tags": ["good"]}
    await client.put("/logs/one/favourite")
    assert await ids(client, favourite="true") == ["one"]
    note = await client.post("/logs/one/notes", json={"text": "here", "step": 1})
    assert (note.status_code, note.json()["step"], note.json()["caller"]) == (201, 1, LOCAL)
    whole = (await client.get("/logs/one")).json()
    assert (whole["favourite"], whole["notes"][0]["text"]) == (True, "here")
    number = note.json()["id"]
    assert (await client.delete(f"/logs/one/notes/{number}")).status_code == 200
    await refused(await client.delete(f"/logs/one/notes/{number}"), 404)
    await client.delete("/logs/one/favourite")
    assert (await client.get("/logs/one/notes")).json()["data"] == []
    assert await ids(client, favourite="true") == []


async def test_a_deleted_trace_is_gone(client: httpx.AsyncClient, stored: Store) -> None:
    assert (await client.delete("/logs/one")).json()["deleted"]
    await refused(await client.get("/logs/one"), 404)
    await refused(await client.delete("/logs/one"), 404)


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("/logs/one/notes", {"text": ""}, "text"),
        ("/logs/one/notes", {"text": "x", "step": -1}, "step"),
        ("/logs/one/tags", {"tags": [""]}, "tags.0"),
        ("/logs/one/tags", {"tags": ["a"], "more": 1}, "more"),
    ],
)
async def test_a_malformed_note_or_tag_is_a_422_that_names_the_field(
    client: httpx.AsyncClient, stored: Store, path: str, body: dict[str, Any], param: str
) -> None:
    assert (await refused(await client.post(path, json=body), 422))["param"] == param


async def test_statistics_are_told_by_mod_by_action_and_over_time(
    client: httpx.AsyncClient, stored: Store
) -> None:
    told = (await client.get("/logs/stats")).json()
    (calm,) = told["mods"]
    assert (calm["mod"], calm["calls"], calm["failures"]) == ("calm", 7, 1)
    assert set(calm["durations"]) == {"50", "95", "99"}
    assert {action["action"] for action in told["actions"]} == {"backtrack", "force_tokens"}
    assert sum(span["requests"] for span in told["requests"]) == 4


async def test_an_export_has_every_trace_that_fits(
    client: httpx.AsyncClient, stored: Store
) -> None:
    lines = (await client.get("/logs/export?sort=oldest&model=b")).text.splitlines()
    assert [json.loads(line)["request"]["request_id"] for line in lines] == ["two", "three"]
    assert lines[0].encode() == (await stored.read("two")).trace.record().to_json()
    table = pq.read_table(io.BytesIO((await client.get("/logs/export?format=parquet")).content))
    assert table.column("request_id").to_pylist() == ["four", "three", "two", "one"]
    story = (await stored.read("two")).trace.story
    assert table.column("token_ids").to_pylist()[2] == story.tokens
    assert table.column("probabilities").to_pylist()[2] == story.probabilities


@pytest.mark.parametrize(("bound", "most"), [("PAGE", 1), ("MAX_TOKENS", 2), ("PAGE", 3)])
async def test_a_table_is_written_by_groups_of_rows(
    client: httpx.AsyncClient, stored: Store, monkeypatch: pytest.MonkeyPatch, bound: str, most: int
) -> None:
    monkeypatch.setattr(export, bound, most)
    reply = await client.get("/logs/export?format=parquet")
    assert int(reply.headers["content-length"]) == len(reply.content)
    file = pq.ParquetFile(io.BytesIO(reply.content))
    assert file.num_row_groups == (2 if most == 3 else 4)
    assert file.read().column("request_id").to_pylist() == ["four", "three", "two", "one"]
    nothing = await client.get("/logs/export?format=parquet&model=none")
    assert pq.read_table(io.BytesIO(nothing.content)).num_rows == 0


@pytest.mark.parametrize(("format", "page"), [("json", 0), ("parquet", 0), ("parquet", 1)])
async def test_an_export_without_postgres_is_a_503(
    client: httpx.AsyncClient,
    stored: Store,
    kept: Traces,
    monkeypatch: pytest.MonkeyPatch,
    format: str,
    page: int,
) -> None:
    search = (await kept.archive.shelves()).search
    found, asked = search.page, iter(range(9))

    async def going(*values: Any, **more: Any) -> Any:
        if next(asked) == page:
            raise AwayError("it went away")
        return await found(*values, **more)

    monkeypatch.setattr(search, "page", going)
    monkeypatch.setattr(export, "PAGE", 2)
    error = await refused(await client.get(f"/logs/export?format={format}"), 503)
    assert error["message"] == "it went away"


async def test_a_record_from_outside_is_durable_when_it_is_acknowledged(
    client: httpx.AsyncClient, kept: Traces
) -> None:
    body = modded("theirs").record().to_json()
    reply = await client.post("/v1/ingest", content=body)
    assert (reply.status_code, reply.json()["durable"]) == (201, True)
    assert kept.spool is not None
    assert kept.spool.counts.durable == 1


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b"{", None),
        (b"[]", None),
        (b'{"request": {}}', "request.request_id"),
        (b'{"request": {"request_id": 5}}', "request.request_id"),
        (b'{"request": {"request_id": "r"}, "version": 9}', "version"),
        (
            b'{"request": {"request_id": "r"}, "mod_calls":'
            b' [{"event_sequence_order": 0, "mod_name": "m"}]}',
            "mod_calls[0].event_sequence_order",
        ),
    ],
)
async def test_a_malformed_record_is_a_422_that_names_its_field(
    client: httpx.AsyncClient, body: bytes, param: str | None
) -> None:
    assert (await refused(await client.post("/v1/ingest", content=body), 422))["param"] == param


async def test_a_record_is_too_large_by_what_comes_and_not_by_what_is_said(
    client: httpx.AsyncClient,
) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(MAX_BODY // 2**20 + 1):
            yield b" " * 2**20

    await refused(await client.post("/v1/ingest", content=endless()), 413)


async def test_a_spool_that_is_full_is_a_503_and_not_a_lie(
    client: httpx.AsyncClient, kept: Traces
) -> None:
    assert kept.spool is not None
    kept.spool._max_bytes = 10
    body = made("theirs").record().to_json()
    await refused(await client.post("/v1/ingest", content=body), 503)


async def test_without_postgres_reading_is_a_503_that_says_why(tmp_path: Path) -> None:
    async def nowhere() -> str:
        raise AwayError("there is none")

    kept = Traces(Observer(None), Archive(nowhere), Live(), missing=["no spool"])
    async with client_of(kept) as client:
        assert "there is none" in (await refused(await client.get("/logs"), 503))["message"]
        error = await refused(await client.post("/v1/ingest", content=b"{}"), 503)
    assert "no spool" in error["message"]
    assert kept.health()["postgres"] == "there is none"


async def test_two_traces_are_aligned_token_by_token(
    client: httpx.AsyncClient, stored: Store
) -> None:
    told = (await client.get("/logs/one/diff/three")).json()
    assert (told["same"], len(told["tokens_a"]), len(told["tokens_b"])) == (3, 3, 9)
    assert [block["kind"] for block in told["blocks"]] == ["equal", "insert"]
    await refused(await client.get("/logs/one/diff/nothing"), 404)


class Endless:
    """A replayer that comes to no end by itself."""

    def __init__(self) -> None:
        self.begun, self.ended = asyncio.Event(), asyncio.Event()

    async def run(self, *_: Any, **__: Any) -> None:
        self.begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.ended.set()


async def test_a_replay_ends_when_nobody_waits_for_it(
    client: httpx.AsyncClient, stored: Store
) -> None:
    app = client._transport.app  # type: ignore[attr-defined]
    replayer = app.state.concordance_replayer = Endless()
    messages: asyncio.Queue[Any] = asyncio.Queue()
    messages.put_nowait({"type": "http.request", "body": b"{}", "more_body": False})
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    path = "/logs/one/replay"
    head = {"path": path, "raw_path": path.encode(), "query_string": b""}
    headers = [(b"content-type", b"application/json")]
    scope = {"type": "http", "method": "POST", **head, "headers": headers}
    serving = asyncio.create_task(app(scope, messages.get, send))
    await asyncio.wait_for(replayer.begun.wait(), 50)
    messages.put_nowait({"type": "http.disconnect"})
    await asyncio.wait_for(replayer.ended.wait(), 50)
    await asyncio.wait_for(serving, 50)
    assert sent[0]["status"] == 499


async def test_the_stream_tells_what_goes_on(kept: Traces) -> None:
    from server.traces.stream_routes import _events

    events = _events(kept, {"tokens": "false"}, TokenPieces(Letters()), None)
    assert await anext(events) == b": watching\n\n"
    kept.live.tell("ann", {"type": "begun", "request_id": "r"})
    kept.live.tell("ann", {"type": "tokens", "request_id": "r", "tokens": [1]})
    kept.live.tell("ann", {"type": "ended", "request_id": "r"})
    told = [json.loads((await anext(events))[6:]) for _ in range(2)]
    assert [message["type"] for message in told] == ["begun", "ended"]
    await events.aclose()
    assert not kept.live


def test_a_socket_tells_the_same(tmp_path: Path) -> None:
    from starlette.testclient import TestClient

    async def nowhere() -> str:
        raise AwayError("there is none")

    live = Live()
    app = FastAPI()
    mount_traces(
        app, Traces(Observer(None, live=live), Archive(nowhere), live), TokenPieces(Letters())
    )
    with TestClient(app) as client, client.websocket_connect("/logs/stream") as socket:
        while not live:
            time.sleep(0.01)
        assert client.portal is not None
        begun = {"type": "begun", "request_id": "r"}
        tokens = {"type": "tokens", "request_id": "r", "at": 0, "tokens": [1, 2, 99]}
        for message in (begun, tokens):
            client.portal.call(live.tell, "ann", message)
        assert socket.receive_json() == begun
        assert socket.receive_json() == {**tokens, "pieces": ["b", "c", ""]}


async def test_one_who_reads_too_slowly_is_told_how_much_was_missed() -> None:
    live = Live()
    with live.watch() as watcher:
        for number in range(2_003):
            live.tell("", {"type": "tokens", "n": number})
        told = [await asyncio.wait_for(watcher.next(), 50) for _ in range(2_001)]
    assert told[-1] == {"type": "missed", "count": 3}
