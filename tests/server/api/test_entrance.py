"""What the way in leaves for the trace, and what it takes out of a body before vLLM sees it."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request

from server.api.entrance import Entrance
from server.mods.caller import LOCAL, caller_of
from server.mods.registry import ModRegistry
from server.traces.asked import Asked, current_asked

CHAT = "/v1/chat/completions"


class Behind:
    """The application behind the way in: keeps what reaches it."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.asked: list[Asked | None] = []
        self.app = FastAPI()
        self.app.add_api_route("/{path:path}", self.take, methods=["POST"])

    async def take(self, request: Request) -> dict[str, Any]:
        self.bodies.append(await request.body())
        self.asked.append(current_asked.get())
        return {}


@pytest.fixture
def behind() -> Behind:
    return Behind()


def entrance(behind: Behind) -> Any:
    pool: Any = None
    return Entrance(behind.app, ModRegistry(), pool, lambda: ["m"], caller_of)


async def post(behind: Behind, path: str, body: Any, **headers: str) -> httpx.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    transport = httpx.ASGITransport(entrance(behind))
    async with httpx.AsyncClient(transport=transport, base_url="http://server") as client:
        return await client.post(
            path, content=content, headers={"content-type": "application/json", **headers}
        )


async def test_a_body_without_a_word_for_us_goes_on_byte_for_byte(behind: Behind) -> None:
    body = b'{"model":  "m", "messages": []}'
    await post(behind, CHAT, body)
    assert behind.bodies == [body]
    (asked,) = behind.asked
    assert asked is not None
    assert (asked.endpoint, asked.caller, asked.level, asked.chosen_id) == (
        CHAT,
        LOCAL,
        None,
        False,
    )
    assert asked.content == {"model": "m", "messages": []}


@pytest.mark.parametrize("level", ["off", "tokens", "full"])
async def test_a_request_says_how_much_of_it_is_traced(behind: Behind, level: str) -> None:
    await post(behind, CHAT, {"model": "m", "trace": level})
    assert json.loads(behind.bodies[0]) == {"model": "m"}
    assert behind.asked[0] is not None
    assert behind.asked[0].level == level


@pytest.mark.parametrize("level", ["all", True, None, 1])
async def test_a_level_that_there_is_not_is_a_400_that_names_the_field(
    behind: Behind, level: Any
) -> None:
    reply = await post(behind, CHAT, {"model": "m", "trace": level})
    assert reply.status_code == 400
    assert reply.json()["error"]["param"] == "trace"
    assert behind.bodies == []


async def test_only_the_body_s_own_trace_is_ours(behind: Behind) -> None:
    body = b'{"model": "m", "messages": [{"role": "user", "content": "x", "trace": "full"}]}'
    await post(behind, CHAT, body)
    assert behind.bodies == [body]


async def test_an_id_that_the_client_chose_is_known_for_one(behind: Behind) -> None:
    await post(behind, CHAT, {"model": "m"}, **{"x-request-id": "mine"})
    await post(behind, CHAT, {"model": "m", "request_id": "mine"})
    assert [asked.chosen_id for asked in behind.asked if asked] == [True, True]


@pytest.mark.parametrize("path", ["/v1/ingest", "/logs/one/notes", "/v1/mods"])
async def test_bodies_that_run_nothing_are_not_read_here(behind: Behind, path: str) -> None:
    await post(behind, path, {"trace": "nonsense"})
    assert behind.asked == [None]
