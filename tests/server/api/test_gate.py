"""Who is let in, with how much, and what is written down of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocketDisconnect

from server.api.errors import error_response
from server.api.gate import Gate
from server.api.readiness import Readiness
from server.keys.routes import router as key_routes
from server.limits.limits import Limits
from server.limits.meter import current_spend
from server.limits.routes import router as limit_routes
from tests.server.api.gates import THROUGH, Behind, Keys, client_of, gate_before

CHAT, MODS = "/v1/chat/completions", "/v1/mods"


def an_app() -> FastAPI:
    """An application with some of the server's routes."""
    app = FastAPI()

    async def route() -> None: ...

    for path in ("/health", "/metrics", "/v1/models", CHAT, MODS, "/logs", "/unheard-of"):
        app.add_api_route(path, route, methods=["GET", "POST"])
    app.add_api_websocket_route("/logs/stream", route)
    app.include_router(key_routes)
    app.include_router(limit_routes)
    return app


@pytest.fixture
def app() -> FastAPI:
    return an_app()


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    keys = Keys(tmp_path)
    keys.add("ann", "infer", "mods", "traces")
    keys.add("root", "admin")
    return keys


async def status(gate: Gate, path: str, method: str = "GET", **more: Any) -> int:
    async with client_of(gate) as client:
        return (await client.request(method, path, **more)).status_code


def told(home: Path) -> list[dict[str, Any]]:
    path = home / "logs" / "audit.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


@pytest.mark.parametrize(
    "headers",
    [
        lambda secret: {"authorization": f"Bearer {secret}"},
        lambda secret: {"authorization": f"bearer   {secret} "},
        lambda secret: {"x-user-api-key": secret},
        lambda secret: {"x-api-key": secret},
        lambda secret: {"x-user-api-key": secret, "authorization": "Bearer none"},
    ],
)
async def test_a_key_may_come_in_each_of_the_usual_headers(
    app: FastAPI, keys: Keys, headers: Any
) -> None:
    gate = gate_before(app, keys.home)
    async with client_of(gate) as client:
        answer = await client.get("/v1/models", headers=headers(keys.secrets["ann"]))
    assert (answer.status_code, answer.text) == (THROUGH, "ann")


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": ""},
        {"authorization": "Bearer"},
        {"authorization": "Bearer "},
        {"authorization": "Bearer ck_none"},
        {"authorization": "Basic {secret}"},
        {"authorization": "{secret}"},
        {"x-user-api-key": "{secret}x"},
        {"cookie": "key={secret}"},
        {"x-user-api-key": "\xff"},
    ],
)
async def test_anything_else_is_a_401(app: FastAPI, keys: Keys, headers: dict[str, str]) -> None:
    secret = keys.secrets["ann"]
    given = [
        (k.encode(), v.replace("{secret}", secret).encode("latin-1")) for k, v in headers.items()
    ]
    gate = gate_before(app, keys.home)
    async with client_of(gate) as client:
        answer = await client.get(f"/v1/models?key={secret}", headers=given)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.json()["error"]["type"] == "unauthorized"
    assert answer.headers["content-security-policy"]


async def test_a_key_without_the_scope_is_a_403_that_names_it(app: FastAPI, keys: Keys) -> None:
    keys.add("reader", "traces")
    gate = gate_before(app, keys.home)
    async with client_of(gate) as client:
        answer = await client.post(CHAT, headers=keys.headers("reader"), json={})
    assert answer.status_code == 403
    assert "lacks the scope infer" in answer.json()["error"]["message"]


async def test_a_route_that_nobody_listed_is_for_administrators(app: FastAPI, keys: Keys) -> None:
    gate = gate_before(app, keys.home)
    assert await status(gate, "/unheard-of", headers=keys.headers("ann")) == 403
    assert await status(gate, "/unheard-of", headers=keys.headers("root")) == THROUGH


async def test_a_path_that_leads_nowhere_needs_a_key_all_the_same(app: FastAPI, keys: Keys) -> None:
    gate = gate_before(app, keys.home)
    assert await status(gate, "/nowhere") == 401
    assert await status(gate, "/nowhere", headers=keys.headers("ann")) == THROUGH


async def test_whether_the_server_lives_everybody_may_ask(app: FastAPI, keys: Keys) -> None:
    gate = gate_before(app, keys.home, limits=Limits(requests_per_minute=1))
    for _ in range(3):
        async with client_of(gate, "example.org") as client:
            answer = await client.get("/health", headers=keys.headers("ann"))
        assert (answer.status_code, answer.text) == (THROUGH, "")


async def test_the_key_of_the_command_line_is_an_administrator_s(
    app: FastAPI, tmp_path: Path
) -> None:
    gate = gate_before(app, tmp_path, operators=["given"], open_here=False)
    assert await status(gate, "/unheard-of", headers={"authorization": "Bearer given"}) == THROUGH
    assert await status(gate, "/v1/models") == 401


async def test_without_keys_this_machine_is_let_in_and_web_pages_are_not(
    app: FastAPI, tmp_path: Path
) -> None:
    gate = gate_before(app, tmp_path)
    async with client_of(gate) as client:
        assert (await client.get("/unheard-of")).text == "local"
        page = await client.get("/logs", headers={"origin": "http://example.org"})
        assert page.status_code == 403
    async with client_of(gate, "example.org") as client:
        assert (await client.get("/logs")).status_code == 403


async def test_without_keys_a_server_on_a_network_lets_nobody_in(
    app: FastAPI, tmp_path: Path
) -> None:
    gate = gate_before(app, tmp_path, open_here=False)
    assert await status(gate, "/v1/models") == 401
    assert await status(gate, "/health") == THROUGH


async def test_the_first_key_closes_an_open_server(app: FastAPI, tmp_path: Path) -> None:
    gate = gate_before(app, tmp_path)
    assert await status(gate, "/v1/models") == THROUGH
    Keys(tmp_path).add("ann", "infer")
    app.state.concordance_keys.refresh()
    assert await status(gate, "/v1/models") == 401


def test_a_socket_needs_a_key_too(app: FastAPI, keys: Keys) -> None:
    keys.add("chatter", "infer")
    client = TestClient(gate_before(app, keys.home))
    for headers in ({}, keys.headers("chatter"), {"authorization": "Bearer none"}):
        with (
            pytest.raises(WebSocketDisconnect) as refusal,
            client.websocket_connect("/logs/stream", headers=headers),
        ):
            pass
        assert refusal.value.code == 1008
    with client.websocket_connect("/logs/stream", headers=keys.headers("ann")) as socket:
        assert socket.receive_text() == "ann"


def test_a_page_of_another_site_opens_no_socket(app: FastAPI, tmp_path: Path) -> None:
    client = TestClient(gate_before(app, tmp_path))
    url = "ws://localhost/logs/stream"
    headers = {"origin": "http://example.org"}
    with (
        pytest.raises(WebSocketDisconnect),
        client.websocket_connect(url, headers=headers),
    ):
        pass
    with client.websocket_connect(url) as socket:
        assert socket.receive_text() == "local"


PREFLIGHT = {"origin": "https://app.example.org", "access-control-request-method": "POST"}


async def test_other_sites_may_ask_only_where_the_operator_allows_some(
    app: FastAPI, keys: Keys
) -> None:
    closed, opened = (
        gate_before(app, keys.home, origins=origins) for origins in ([], [PREFLIGHT["origin"]])
    )
    assert await status(closed, CHAT, "OPTIONS", headers=PREFLIGHT) == 401
    assert await status(opened, CHAT, "OPTIONS", headers=PREFLIGHT) == THROUGH
    assert await status(opened, CHAT, "OPTIONS") == 401
    assert await status(opened, CHAT, "POST", headers=PREFLIGHT, json={}) == 401


async def endless(megabytes: int) -> AsyncIterator[bytes]:
    for _ in range(megabytes):
        yield b" " * 2**20


async def test_a_body_is_too_large_by_what_comes_and_not_by_what_is_said(
    app: FastAPI, keys: Keys
) -> None:
    behind = Behind(app)
    gate = gate_before(app, keys.home, behind, limits=Limits(max_body_bytes=2**20))
    async with client_of(gate) as client:
        for path in (CHAT, MODS):
            headers = keys.headers("ann")
            for body in (b"x" * (2**20 + 1), endless(3)):
                answer = await client.post(path, content=body, headers=headers)
                assert (answer.status_code, answer.json()["error"]["type"]) == (413, "too_large")
            lie = {**headers, "content-length": "1"}
            assert (await client.post(path, content=endless(3), headers=lie)).status_code == 413
            huge = {**headers, "content-length": "9" * 40}
            assert (await client.post(path, content=b"{}", headers=huge)).status_code == 413
        assert behind.bodies == []
        body = b"[" + b" " * (2**20 - 2) + b"]"
        answer = await client.post(CHAT, content=body, headers=keys.headers("ann"))
        assert (answer.status_code, behind.bodies) == (THROUGH, [body])


async def test_what_vllm_must_not_see_is_a_400_whatever_the_content_type(
    app: FastAPI, keys: Keys
) -> None:
    behind = Behind(app)
    gate = gate_before(app, keys.home, behind)
    body = b'{"n": 9, "x": NaN}'
    async with client_of(gate) as client:
        for kind in ("application/json", "text/plain", "application/x+json", ""):
            headers = {**keys.headers("ann"), "content-type": kind}
            answer = await client.post(CHAT, content=body, headers=headers)
            assert (answer.status_code, answer.json()["error"]["param"]) == (400, "n")
        utf16 = body.decode().encode("utf-16")
        answer = await client.post(CHAT, content=utf16, headers=keys.headers("ann"))
        assert answer.status_code == 400
        deep = b"[" * 200_000
        answer = await client.post(CHAT, content=deep, headers=keys.headers("ann"))
        assert "nested too deeply" in answer.json()["error"]["message"]
        assert behind.bodies == []
        await client.post(CHAT, content=b"no json", headers=keys.headers("ann"))
        await client.post(CHAT, content=b'{"messages": []}', headers=keys.headers("ann"))
    assert behind.bodies == [b"no json", b'{"messages": []}']


async def test_each_key_has_its_own_requests_a_minute(app: FastAPI, keys: Keys) -> None:
    gate = gate_before(app, keys.home, limits=Limits(requests_per_minute=2))
    async with client_of(gate) as client:
        for _ in range(2):
            await client.get("/v1/models", headers=keys.headers("ann"))
        answer = await client.get("/v1/models", headers=keys.headers("ann"))
        assert answer.status_code == 429
        assert 1 <= int(answer.headers["retry-after"]) <= 30
        assert (await client.get("/v1/models", headers=keys.headers("root"))).status_code == THROUGH


class Working(Behind):
    """Spends tokens, and takes until it is told to end."""

    def __init__(self, app: Any) -> None:
        super().__init__(app)
        self.end = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        spend = current_spend.get()
        if spend is not None:
            spend(100)
        await self.end.wait()
        await super().__call__(scope, receive, send)


async def test_tokens_that_were_spent_are_waited_for(app: FastAPI, keys: Keys) -> None:
    working = Working(app)
    working.end.set()
    gate = gate_before(app, keys.home, working, limits=Limits(tokens_per_minute=60))
    async with client_of(gate) as client:
        headers = keys.headers("ann")
        assert (await client.post(CHAT, json={}, headers=headers)).status_code == THROUGH
        answer = await client.post(CHAT, json={}, headers=headers)
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "41")
        # What runs no model costs no tokens.
        assert (await client.post(MODS, json={}, headers=headers)).status_code == THROUGH


async def test_a_full_line_is_a_429_and_a_full_server_a_503(app: FastAPI, keys: Keys) -> None:
    working = Working(app)
    limits = Limits(concurrent_requests=1, queued_requests=1, total_requests=3)
    gate = gate_before(app, keys.home, working, limits=limits)
    async with client_of(gate) as client:

        async def ask(user: str) -> int:
            answer = await client.post(CHAT, json={}, headers=keys.headers(user))
            assert (answer.status_code < 400) or int(answer.headers["retry-after"]) >= 1
            return answer.status_code

        asked = [asyncio.create_task(ask("ann")) for _ in range(2)]
        await asyncio.sleep(0.05)
        assert await ask("ann") == 429
        asked.append(asyncio.create_task(ask("root")))
        await asyncio.sleep(0.05)
        keys.add("bob", "infer")
        app.state.concordance_keys.refresh()
        assert await ask("bob") == 503
        working.end.set()
        assert await asyncio.gather(*asked) == [THROUGH] * 3


class Away:
    """A keeper whose engine is away."""

    reason: str | None = "the engine's process has ended"
    back_in_s = 7.2


class Unavailable(Behind):
    """What runs the model finds no engine."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await error_response(503, "gone", "gone")(scope, receive, send)


async def test_without_an_engine_only_what_runs_the_model_is_turned_away(
    app: FastAPI, keys: Keys
) -> None:
    keeper = Away()
    gate = gate_before(app, keys.home, readiness=Readiness(keeper))
    async with client_of(gate) as client:
        headers = keys.headers("ann")
        answer = await client.post(CHAT, json={}, headers=headers)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "8")
        assert answer.json()["error"]["type"] == "engine_restarting"
        assert "process has ended" in answer.json()["error"]["message"]
        assert (await client.post(MODS, json={}, headers=headers)).status_code == THROUGH
        keeper.reason = None
        assert (await client.post(CHAT, json={}, headers=headers)).status_code == THROUGH


async def test_a_server_that_stops_takes_nothing_more(app: FastAPI, keys: Keys) -> None:
    readiness = Readiness()
    gate = gate_before(app, keys.home, readiness=readiness)
    readiness.stopping = True
    async with client_of(gate) as client:
        answer = await client.post(CHAT, json={}, headers=keys.headers("ann"))
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
        assert answer.json()["error"]["type"] == "server_stopping"


async def test_who_lost_the_engine_under_way_is_told_when_to_come_back(
    app: FastAPI, keys: Keys
) -> None:
    gate = gate_before(app, keys.home, Unavailable(app), readiness=Readiness(Away()))
    async with client_of(gate) as client:
        answer = await client.get("/v1/models", headers=keys.headers("ann"))
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "8")


async def test_uploads_and_administrators_calls_are_written_down(app: FastAPI, keys: Keys) -> None:
    gate = gate_before(app, keys.home)
    async with client_of(gate) as client:
        await client.post(MODS, json={"source": "x"}, headers=keys.headers("ann"))
        await client.get("/unheard-of", headers=keys.headers("root"))
        await client.post("/add_user", json={"user": "eve"}, headers=keys.headers("ann"))
        for quiet in (MODS, "/v1/models", "/logs"):
            await client.get(quiet, headers=keys.headers("ann"))
        await client.post("/add_user", json={"user": "eve"})
    lines = told(keys.home)
    assert [(each["user"], each["method"], each["path"], each["status"]) for each in lines] == [
        ("ann", "POST", MODS, THROUGH),
        ("root", "GET", "/unheard-of", THROUGH),
        ("ann", "POST", "/add_user", 403),
    ]
    assert lines[0]["bytes"] == len(b'{"source":"x"}')
    assert len(lines[0]["sha256"]) == 64
    assert lines[2]["refused"] == "forbidden"
    assert all(secret not in json.dumps(lines) for secret in keys.secrets.values())


async def test_an_administrator_makes_a_user_whose_key_works_at_once(
    app: FastAPI, keys: Keys
) -> None:
    gate = gate_before(app, keys.home, app)
    async with client_of(gate) as client:
        headers = keys.headers("root")
        made = await client.post("/add_user", json={"user": "eve"}, headers=headers)
        assert made.status_code == 201
        told = made.json()
        assert (told["user"], told["scopes"]) == ("eve", ["infer", "mods", "traces"])
        limits = await client.get("/v1/limits", headers={"x-user-api-key": told["user_api_key"]})
        assert limits.json()["user"] == "eve"
        odd: list[dict[str, Any]] = [{"user": "../eve"}, {"user": "local\0"}]
        for body in odd:
            refused = await client.post("/add_user", json=body, headers=headers)
            assert (refused.status_code, refused.json()["error"]["param"]) == (400, "user")
        wrong: list[dict[str, Any]] = [{}, {"user": "eve", "scopes": ["root"]}]
        for body in [*wrong, {"user": "eve", "more": 1}]:
            refused = await client.post("/add_user", json=body, headers=headers)
            assert refused.status_code == 422
    assert keys.file.read()[-1].user == "eve"


async def test_the_limits_are_told_with_what_is_left(app: FastAPI, keys: Keys) -> None:
    limits = Limits(requests_per_minute=10, tokens_per_minute=100, max_n=3)
    gate = gate_before(app, keys.home, app, limits=limits)
    async with client_of(gate) as client:
        told = (await client.get("/v1/limits", headers=keys.headers("ann"))).json()
    assert told["limits"] == {name: getattr(limits, name) for name in limits.__struct_fields__}
    assert (told["user"], told["scopes"]) == ("ann", ["infer", "mods", "traces"])
    assert told["now"] == {
        "running": 0, "queued": 0, "total": 0, "requests_left": 9, "tokens_left": 100,
    }  # fmt: skip
