"""A mod whose process falls again and again is set aside, for its caller, until it comes anew."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI

from mods.runtime.compile import Traits
from mods.runtime.package import Package
from server.mods.caller import EVERYBODY
from server.mods.registry import FALLS, ModRegistry, SetAsideError
from server.mods.routes import ModsState, router

SOURCE = (
    "from mods.sdk import mod\n\n@mod\ndef falls(event, actions, tokenizer):\n    return None\n"
)
FALLING = Package.from_source(SOURCE)
WHY = "the process of mod 'falls' ended with exit code 3"


def fall(registry: ModRegistry, caller: str, times: int = FALLS) -> None:
    for _ in range(times):
        registry.fell(caller, FALLING, WHY)


@pytest.fixture
def registry() -> ModRegistry:
    registry = ModRegistry()
    for owner in ("anna", EVERYBODY):
        registry.register(owner, FALLING, Traits("falls"))
    return registry


def test_a_few_falls_change_nothing(registry: ModRegistry) -> None:
    fall(registry, "anna", FALLS - 1)
    assert registry.resolve("anna", ["falls"]) == [FALLING]


def test_one_more_sets_the_mod_aside_and_says_why(registry: ModRegistry) -> None:
    fall(registry, "anna")
    with pytest.raises(SetAsideError, match="exit code 3; upload it again") as refused:
        registry.resolve("anna", ["falls"])
    assert (refused.value.status, refused.value.type) == (424, "mod_set_aside")


def test_what_one_caller_sends_a_mod_sets_it_aside_for_nobody_else(registry: ModRegistry) -> None:
    fall(registry, "anna")
    assert registry.resolve("bert", ["falls"]) == [FALLING]
    assert registry.set_aside("bert", FALLING) is None


def test_falls_long_ago_do_not_count(
    registry: ModRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    fall(registry, "anna", FALLS - 1)
    monkeypatch.setattr("server.mods.registry.time.monotonic", lambda: 1e9)
    fall(registry, "anna", 1)
    assert registry.resolve("anna", ["falls"]) == [FALLING]


def test_a_mod_that_comes_anew_or_was_deleted_gets_another_chance(registry: ModRegistry) -> None:
    fall(registry, "anna")
    registry.register("anna", FALLING, Traits("falls"))
    assert registry.resolve("anna", ["falls"]) == [FALLING]
    fall(registry, "anna")
    registry.delete("anna", "falls")
    assert registry.set_aside("anna", FALLING) is None


@pytest.fixture
async def client(registry: ModRegistry) -> AsyncIterator[httpx.AsyncClient]:
    async def check(package: Package, shared: object) -> Traits:
        return Traits(package.name)

    app = FastAPI()
    app.include_router(router)
    app.state.concordance_mods = ModsState(registry, check)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        yield client


async def test_the_reason_is_told_where_the_mod_is_shown(
    client: httpx.AsyncClient, registry: ModRegistry
) -> None:
    assert (await client.get("/v1/mods/falls")).json()["set_aside"] is None
    fall(registry, "local")
    assert (await client.get("/v1/mods/falls")).json()["set_aside"] == WHY
    assert (await client.get("/v1/mods")).json()["data"][0]["set_aside"] == WHY
    uploaded = (await client.post("/v1/mods", json={"source": SOURCE})).json()
    assert uploaded["set_aside"] is None
