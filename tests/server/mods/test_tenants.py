"""Two users at one server: each has their own mods, and nothing tells them of the other's."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from mods.runtime.compile import Traits
from mods.runtime.load import load_chain
from mods.runtime.package import Package
from server.limits.limits import Limits
from server.mods.caller import EVERYBODY
from server.mods.registry import ModRegistry
from server.mods.routes import ModsState, router
from tests.server.api.gates import Keys, client_of, gate_before

SOURCE = "from mods.sdk import mod\n@mod\ndef {name}(event, actions, tokenizer): pass\n"


async def check(package: Package, shared: Mapping[str, str]) -> Traits:
    return load_chain([package], shared)[0].traits


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    keys = Keys(tmp_path)
    for user in ("ann", "bob"):
        keys.add(user, "infer", "mods", "traces")
    keys.add("root", "admin")
    return keys


@pytest.fixture
def registry() -> ModRegistry:
    return ModRegistry()


@pytest.fixture
async def client(registry: ModRegistry, keys: Keys) -> AsyncIterator[httpx.AsyncClient]:
    app = FastAPI()
    app.include_router(router)
    limits = Limits(max_mods=2, max_source_bytes=200)
    app.state.concordance_mods = ModsState(registry, check, limits=limits)
    async with client_of(gate_before(app, keys.home, app)) as client:
        yield client


async def upload(client: httpx.AsyncClient, keys: Keys, user: str, name: str) -> int:
    body = {"source": SOURCE.format(name=name)}
    return (await client.post("/v1/mods", json=body, headers=keys.headers(user))).status_code


async def names(client: httpx.AsyncClient, keys: Keys, user: str) -> list[str]:
    listed = await client.get("/v1/mods", headers=keys.headers(user))
    return [mod["name"] for mod in listed.json()["data"]]


async def test_a_mod_is_its_uploader_s_alone(
    client: httpx.AsyncClient, keys: Keys, registry: ModRegistry
) -> None:
    package = Package.from_source(SOURCE.format(name="common"))
    registry.register(EVERYBODY, package, await check(package, {}))
    assert await upload(client, keys, "ann", "hers") == 201
    assert await names(client, keys, "ann") == ["common", "hers"]
    for other in ("bob", "root"):
        assert await names(client, keys, other) == ["common"]
        for method, path in (
            ("GET", "/v1/mods/hers"), ("GET", "/v1/mods/hers?source=true"),
            ("DELETE", "/v1/mods/hers"), ("POST", "/v1/mods/hers/dry-run"),
        ):  # fmt: skip
            more: dict[str, Any] = {"json": {}} if method == "POST" else {}
            answer = await client.request(method, path, headers=keys.headers(other), **more)
            assert answer.status_code == 404
            assert "common" in answer.json()["error"]["message"]
    assert await upload(client, keys, "bob", "hers") == 201
    gone = await client.delete("/v1/mods/hers", headers=keys.headers("bob"))
    assert gone.status_code == 200
    assert await names(client, keys, "ann") == ["common", "hers"]
    assert {key for key in ("ann", "bob") if registry.owned(key)} == {"ann"}


async def test_shared_modules_are_their_uploader_s_alone(
    client: httpx.AsyncClient, keys: Keys
) -> None:
    body = {"name": "helper", "source": "X = 1\n"}
    assert (await client.post("/sdk", json=body, headers=keys.headers("ann"))).status_code == 201
    theirs = await client.get("/sdk?source=true", headers=keys.headers("bob"))
    assert theirs.json()["data"] == []


async def test_a_user_has_so_many_mods_and_may_replace_them(
    client: httpx.AsyncClient, keys: Keys
) -> None:
    assert [await upload(client, keys, "ann", name) for name in "abc"] == [201, 201, 409]
    assert await upload(client, keys, "ann", "b") == 200
    assert await upload(client, keys, "bob", "c") == 201
    await client.delete("/v1/mods/a", headers=keys.headers("ann"))
    assert await upload(client, keys, "ann", "c") == 201


async def test_a_mod_s_source_has_so_many_bytes(client: httpx.AsyncClient, keys: Keys) -> None:
    source = SOURCE.format(name="long") + "#" * 200
    for body in ({"source": source}, {"files": {"a.py": source[:150], "b.py": "#" * 100}}):
        answer = await client.post("/v1/mods", json=body, headers=keys.headers("ann"))
        assert answer.status_code == 400
        assert "at most 200 are allowed here" in answer.json()["error"]["message"]
