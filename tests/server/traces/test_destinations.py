"""Another server as the destination: the record in its shape, and what its answers mean."""

from __future__ import annotations

import json

import httpx
import pytest

from server.traces.database import Database, fixed
from server.traces.destinations import HttpDestination, PostgresDestination
from server.traces.errors import AwayError, MigrationError, RefusedError
from server.traces.trace import Trace
from tests.server.traces.conftest import run
from tests.server.traces.making import made, modded


def answering(status: int, asked: list[httpx.Request]) -> httpx.MockTransport:
    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(status, text="said so")

    return httpx.MockTransport(answer)


async def test_each_record_is_posted_whole_and_in_order() -> None:
    asked: list[httpx.Request] = []
    destination = HttpDestination("http://host:1/v1/ingest", answering(200, asked))
    traces = [modded("r1"), made("r2")]
    await destination.send(traces)
    await destination.close()
    assert [Trace.from_json(request.content) for request in asked] == [
        Trace.from_json(trace.record().to_json()) for trace in traces
    ]
    assert json.loads(asked[0].content)["request"]["request_id"] == "r1"


@pytest.mark.parametrize(
    ("given", "url", "key"),
    [
        ("http://host:80/v1/ingest", "http://host:80/v1/ingest", None),
        ("https://host", "https://host/v1/ingest", None),
        ("https://host/", "https://host/v1/ingest", None),
        ("https://:s%2Fecret@host/x", "https://host/x", "Bearer s/ecret"),
    ],
)
async def test_an_address_says_where_and_with_which_key(
    given: str, url: str, key: str | None
) -> None:
    asked: list[httpx.Request] = []
    destination = HttpDestination(given, answering(200, asked))
    await destination.send([made()])
    await destination.close()
    assert str(asked[0].url) == url.replace(":80/", "/")
    assert asked[0].headers.get("authorization") == key


@pytest.mark.parametrize("status", [400, 413, 422])
async def test_a_record_that_is_refused_is_never_sent_again(status: int) -> None:
    destination = HttpDestination("http://host", answering(status, []))
    with pytest.raises(RefusedError, match=f"answered {status}: said so"):
        await destination.send([made()])
    await destination.close()


@pytest.mark.parametrize("status", [301, 401, 403, 404, 429, 500, 503])
async def test_any_other_answer_is_waited_out(status: int) -> None:
    destination = HttpDestination("http://host", answering(status, []))
    with pytest.raises(AwayError, match=str(status)):
        await destination.send([made()])
    await destination.close()


async def test_no_server_is_waited_out() -> None:
    destination = HttpDestination("http://127.0.0.1:9")
    with pytest.raises(AwayError):
        await destination.send([made()])
    await destination.close()


async def test_a_postgres_without_our_tables_gets_them_again(url: str, database: Database) -> None:
    destination = PostgresDestination(fixed(url))
    await destination.send([made("one")])
    await run(url, "drop schema concordance cascade")
    with pytest.raises(AwayError):
        await destination.send([made("two")])
    await destination.send([made("two")])
    await destination.close()


async def test_a_schema_that_is_not_ours_to_use_is_an_error_not_a_wait(url: str) -> None:
    await run(url, "insert into concordance.migrations values (99, 'future', 'x', now())")
    destination = PostgresDestination(fixed(url))
    with pytest.raises(MigrationError):
        await destination.send([made()])
