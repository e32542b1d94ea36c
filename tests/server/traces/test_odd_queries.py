"""Whatever a query says, it is answered, or refused as the client's mistake: never a failure."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from urllib.parse import quote

import httpx
import msgspec
import pytest
from fastapi import FastAPI
from hypothesis import example, given
from hypothesis import strategies as st

from server.api.pieces import TokenPieces
from server.traces.archive import Archive
from server.traces.asking import FILTERS
from server.traces.database import fixed
from server.traces.live import Live
from server.traces.mounting import mount_traces
from server.traces.record import ModUse
from server.traces.search import SORTS
from server.traces.service import Traces
from server.traces.store import Store
from server.traces.watching import Observer
from tests.server.traces.making import made, modded
from tests.server.traces.records import patient

FIRST = datetime.min.replace(tzinfo=UTC)
PARAMETERS = {
    "/logs": (*FILTERS, "sort", "limit", "cursor"),
    "/logs/export": (*FILTERS, "sort", "limit", "format"),
    "/logs/stats": ("since", "until", "hours", "model", "caller"),
    "/logs/one": ("view",),
    "/logs/one/diff/two": ("view",),
    "/logs/one/notes": ("view",),
}
ALLOWED = {200, 400, 404, 422, 503}


@pytest.fixture
async def client(url: str, store: Store) -> AsyncIterator[httpx.AsyncClient]:
    """Of a server with three traces, one of them as old as a trace can be."""
    await store.write([made("one"), modded("two"), made("old", created_at=FIRST)])
    archive, live = Archive(fixed(url)), Live()
    app = FastAPI()
    mount_traces(app, Traces(Observer(None, live=live), archive, live), TokenPieces(None))
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://server") as client:
        yield client
    await archive.close()


def cursor_of(*parts: Any) -> str:
    return base64.urlsafe_b64encode(msgspec.msgpack.encode(parts)).decode().rstrip("=")


zones = st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes)))
times = st.datetimes(timezones=st.none() | st.just(UTC) | zones) | st.sampled_from(
    [FIRST, datetime.max, datetime.max.replace(tzinfo=UTC), datetime(9999, 12, 30, tzinfo=UTC)]
)
moments = times.map(datetime.isoformat) | st.sampled_from(
    ["0001-01-01", "0001-01-02", "9999-12-31", "9999-06-01", "0001-01-01T00:00:00+23:59", "2026"]
)
numbers = st.one_of(
    st.integers(-(2**70), 2**70).map(str),
    st.floats().map(str),
    st.sampled_from(["1" * 5000, "²", "٣", "1_0", "+5", "0x1", "1e400", "-0", " 1"]),
)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20) | st.sampled_from(
    ["", "\x00", "a\x00b", "\x1a0", '"', '"a', "-", "or", "! & | ( :*", "x" * 5000, "%", "../.."]
)
keys = times | st.floats() | st.integers(-(2**63), 2**64 - 1) | texts
cursors = st.builds(cursor_of, st.sampled_from([*SORTS, "best"]), keys, texts)
values = moments | numbers | texts | cursors | st.sampled_from(["true", "done", *SORTS, "parquet"])
LIKELY = {"since": moments, "until": moments, "hours": numbers, "cursor": cursors}


@st.composite
def addresses(draw: st.DrawFn) -> str:
    """A route with some of its parameters, and odd values for them."""
    path = draw(st.sampled_from(sorted(PARAMETERS)))
    names = draw(st.lists(st.sampled_from(PARAMETERS[path]), unique=True, min_size=1, max_size=3))
    query = {name: draw(LIKELY.get(name, values) | values) for name in names}
    if "sort" not in query and "cursor" in query:
        query["sort"] = draw(st.sampled_from(sorted(SORTS)))
    return path + "?" + "&".join(f"{name}={quote(query[name])}" for name in query)


@patient
@given(address=addresses())
@example(address="/logs?sort=oldest&since=9999-12-31T23:59:59.999999Z&until=9999-12-31")
@example(address="/logs/stats?since=9999-12-31&until=0001-01-01")
async def test_an_odd_query_is_answered_or_refused(client: httpx.AsyncClient, address: str) -> None:
    assert (await client.get(address)).status_code in ALLOWED


@patient
@given(number=numbers | texts)
async def test_an_odd_note_is_refused(client: httpx.AsyncClient, number: str) -> None:
    path = f"/logs/one/notes/{quote(number, safe='')}"
    assert (await client.delete(path)).status_code in (ALLOWED | {405}) - {200}


@pytest.mark.parametrize(
    "query",
    [
        "until=0001-01-02",
        "until=0001-01-01",
        "until=0001-06-01",
        "sort=oldest&since=9999-12-01",
        "sort=oldest&since=9999-06-01",
        "until=9999-12-31",
        "since=9999-12-31T23:59:59.999999Z",
    ],
)
async def test_a_list_may_be_bounded_by_any_time(client: httpx.AsyncClient, query: str) -> None:
    answer = await client.get(f"/logs?{query}")
    assert answer.status_code == 200, answer.text
    found = {trace["request_id"] for trace in answer.json()["data"]}
    expected = {"until=0001-01-02": {"old"}, "until=0001-06-01": {"old"}}
    assert found == (
        {"one", "two", "old"} if query[6:] == "9999-12-31" else expected.get(query, set())
    )


@pytest.mark.parametrize("sort", ["newest", "oldest"])
async def test_pages_lead_past_the_first_time_there_is(
    client: httpx.AsyncClient, store: Store, sort: str
) -> None:
    await store.write([made("older", created_at=FIRST)])
    seen: list[str] = []
    query: dict[str, Any] = {"limit": 1, "sort": sort}
    while query.get("cursor", "") is not None:
        page = (await client.get("/logs", params=query)).json()
        seen += [trace["request_id"] for trace in page["data"]]
        query["cursor"] = page["next"]
    in_time = ["old", "older", "one", "two"]
    assert sorted(seen) == in_time
    assert set(seen[:2] if sort == "oldest" else seen[2:]) == {"old", "older"}
    assert page["data"][0]["created_at"].endswith("Z")


@pytest.mark.parametrize(
    ("address", "param"),
    [
        ("/logs?until=0001-01-01T00:00:00%2B05:00", "until"),
        ("/logs?since=9999-12-31T23:00:00-05:00", "since"),
        ("/logs/stats?until=0001-01-01T00:00:00%2B05:00", "until"),
        ("/logs/stats?hours=" + "1" * 5000, "hours"),
        ("/logs/stats?since=0001-01-01", "hours"),
        ("/logs?cursor=" + cursor_of("newest", datetime(1, 1, 1), "one"), None),
        ("/logs?cursor=" + cursor_of("newest", "0001-01-01T00:00:00+05:00", "one"), None),
        ("/logs?cursor=" + cursor_of("newest", FIRST, "a\x00"), None),
        ("/logs?sort=longest&cursor=" + cursor_of("longest", 2**40, "one"), None),
    ],
)
async def test_what_cannot_be_computed_with_is_a_400_that_names_its_part(
    client: httpx.AsyncClient, address: str, param: str | None
) -> None:
    answer = await client.get(address)
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["param"] == param


async def test_statistics_may_end_when_time_begins(client: httpx.AsyncClient, store: Store) -> None:
    assert (await client.get("/logs/stats?until=0001-01-01")).status_code == 200
    await store.write([made("next", created_at=FIRST + timedelta(hours=30))])
    told = (await client.get("/logs/stats?since=0001-01-01&until=0001-01-03&hours=24")).json()
    assert [span["requests"] for span in told["requests"]] == [1, 1]


async def test_statistics_know_names_with_nul(client: httpx.AsyncClient, store: Store) -> None:
    await store.write(
        [made("nul", caller="a\x00", model="m\x00", mods=[ModUse("calm\x00")], tokens=0)]
    )
    told = (await client.get("/logs/stats?caller=a%00&model=m%00")).json()
    assert [span["requests"] for span in told["requests"]] == [1]
    assert [mod["mod"] for mod in told["mods"]] == ["calm\x00"]
    assert (await client.get("/logs/stats?caller=%00")).json()["requests"] == []
