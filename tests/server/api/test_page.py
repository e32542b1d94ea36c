"""The page is served where it belongs, with strict headers, and is in no route's way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from server.api.page import BUILT, GUARDED, MAX_PIECES, mount_page
from server.api.page_paths import ADDRESSES
from server.api.pieces import TokenPieces
from server.demo import MODEL_PATH
from server.traces import export, ingest_route, replay_routes, routes, stream_routes
from tests.server.api.gates import Keys, client_of, gate_before


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(MODEL_PATH)


def app_with(tokenizer: Any, built: Path = BUILT) -> FastAPI:
    """The application with the routes that the page must leave alone."""
    from server.api.health import router as health_routes
    from server.constraints.routes import router as constraint_routes
    from server.mods.routes import router as mod_routes

    app = FastAPI()
    others = [each.router for each in (ingest_route, stream_routes, export, routes, replay_routes)]
    for router in [mod_routes, health_routes, constraint_routes, *others]:
        app.include_router(router)
    mount_page(app, TokenPieces(tokenizer), built)
    return app


def client(app: Any) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://server")


def filled(address: str) -> str:
    return address.replace("{", "x").replace("}", "y")


@pytest.mark.parametrize("address", [*ADDRESSES, "/requests/a%2Fb", "/compare/a%2Fb/c%2Fd"])
async def test_every_address_of_the_page_is_answered_with_it(tokenizer: Any, address: str) -> None:
    async with client(app_with(tokenizer)) as page:
        reply = await page.get(filled(address))
    assert reply.status_code == 200
    assert reply.headers["content-type"].startswith("text/html")
    assert '<div id="page">' in reply.text
    assert reply.headers["cache-control"] == "no-cache"
    for name, value in GUARDED.items():
        assert reply.headers[name] == value


def test_the_policy_allows_nothing_inline_and_nothing_from_elsewhere() -> None:
    policy = GUARDED["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy


async def test_what_has_a_hash_in_its_name_is_kept_for_ever(tokenizer: Any) -> None:
    async with client(app_with(tokenizer)) as page:
        for path in (BUILT / "assets").iterdir():
            reply = await page.get(f"/assets/{path.name}")
            assert reply.status_code == 200
            assert reply.content == path.read_bytes()
            assert reply.headers["x-content-type-options"] == "nosniff"
            assert reply.headers["content-type"] != "application/octet-stream"
            hashed = path.suffix in (".js", ".css")
            assert ("immutable" in reply.headers["cache-control"]) == hashed


async def test_files_are_compressed_for_whom_can_read_that(tokenizer: Any) -> None:
    async with client(app_with(tokenizer)) as page:
        name = next(path.name for path in (BUILT / "assets").glob("index-*.js"))
        packed = await page.get(f"/assets/{name}", headers={"accept-encoding": "gzip"})
        plain = await page.get(f"/assets/{name}", headers={"accept-encoding": "identity"})
    assert packed.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in plain.headers
    assert packed.content == plain.content
    assert int(packed.headers["content-length"]) < int(plain.headers["content-length"]) / 2
    assert packed.headers["vary"] == plain.headers["vary"] == "accept-encoding"


@pytest.mark.parametrize(
    "path", ["/assets/../index.html", "/assets/%2e%2e/index.html", "/assets/none.js", "/assets/"]
)
async def test_no_other_file_is_served(tokenizer: Any, path: str) -> None:
    async with client(app_with(tokenizer)) as page:
        assert (await page.get(path)).status_code == 404


def test_no_api_route_is_shadowed(tokenizer: Any) -> None:
    from starlette.routing import Match

    app = app_with(tokenizer)
    ours = [route for route in app.router.routes if getattr(route, "path", "") in ADDRESSES]
    assert len(ours) == len(ADDRESSES)
    for route in app.router.routes:
        path = getattr(route, "path", "")
        if path in ADDRESSES or path.startswith("/assets"):
            continue
        scope = {"type": "http", "method": "GET", "path": filled(path), "headers": []}
        assert all(page.matches(scope)[0] == Match.NONE for page in ours), path


async def test_a_page_that_is_not_built_says_how_to_build_it(
    tokenizer: Any, tmp_path: Path
) -> None:
    async with client(app_with(tokenizer, tmp_path)) as page:
        reply = await page.get("/")
    assert reply.status_code == 404
    assert "npm run build" in reply.text


async def test_with_a_key_the_page_is_as_closed_as_everything_else(
    tokenizer: Any, tmp_path: Path
) -> None:
    app = app_with(tokenizer)
    keys = Keys(tmp_path)
    keys.add("ann", "infer")
    async with client_of(gate_before(app, tmp_path, app)) as page:
        for path in ("/", "/requests/any", "/logs", "/logs/x", "/v1/mods", "/requests/a/b"):
            assert (await page.get(path)).status_code == 401
        asked_for = httpx.BasicAuth("ann", keys.secrets["ann"])
        assert (await page.get("/", auth=asked_for)).status_code == 200
        assert (await page.get("/requests/any", auth=asked_for)).status_code == 200
        asked = {"json": {"tokens": [1]}}
        assert (await page.post("/pieces", **asked)).status_code == 401
        with_key = await page.post("/pieces", **asked, headers=keys.headers("ann"))
        assert with_key.status_code == 200


def test_pieces_put_together_are_the_text(tokenizer: Any) -> None:
    text = "The capital of France is Paris.\n  Two spaces, and 1 + 1 = 2."
    ids = tokenizer.encode(text, add_special_tokens=False)
    assert "".join(TokenPieces(tokenizer).of(ids)) == text


async def test_pieces_come_in_the_order_in_which_they_were_asked_for(tokenizer: Any) -> None:
    ids = tokenizer.encode("Hello there", add_special_tokens=False)
    async with client(app_with(tokenizer)) as page:
        reply = await page.post("/pieces", json={"tokens": [*ids, 10**9, *ids]})
        told = reply.json()["pieces"]
        assert told[: len(ids)] == told[len(ids) + 1 :]
        assert told[len(ids)] == ""
        assert (await page.post("/pieces", json={"tokens": [-1]})).status_code == 422
        many = [0] * (MAX_PIECES + 1)
        assert (await page.post("/pieces", json={"tokens": many})).status_code == 422


def test_special_tokens_have_a_text(tokenizer: Any) -> None:
    end = tokenizer.eos_token_id
    assert TokenPieces(tokenizer).of([end]) == [tokenizer.eos_token]
