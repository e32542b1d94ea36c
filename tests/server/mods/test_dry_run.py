"""Scripted dry runs, with mods that run in a host process, as in a server."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from fastapi import FastAPI

from mods.runtime.host.pool import HostPool
from server.demo import MODEL_PATH
from server.mods.registry import ModRegistry
from server.mods.routes import ModsState, router

pytestmark = pytest.mark.asyncio(loop_scope="module")

CALM = """
from mods.sdk import Sampled, mod

@mod
def calm(event, actions, tokenizer):
    if isinstance(event, Sampled) and "!" in tokenizer.decode([event.sampled_token]):
        print("calm", get_greeting())
        return actions.force_tokens(".")
    return actions.noop()
"""
GREETING = "from greeting import get_greeting\n"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pool() -> AsyncIterator[HostPool]:
    folder = Path(tempfile.mkdtemp(prefix="dry-"))
    pool = HostPool(folder / "hosts", Path(MODEL_PATH), hard_deadline=0.5)
    await pool.start()
    yield pool
    await pool.stop()
    shutil.rmtree(folder, ignore_errors=True)


@pytest_asyncio.fixture(loop_scope="module")
async def client(pool: HostPool) -> AsyncIterator[httpx.AsyncClient]:
    async def check(package: Any, shared: Any) -> Any:
        (traits,) = await pool.check([package], shared)
        return traits

    app = FastAPI()
    app.include_router(router)
    app.state.concordance_mods = ModsState(ModRegistry(), check, pool.rehearse)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(
        transport=transport, base_url="http://server", timeout=60
    ) as client:
        yield client


async def upload(client: httpx.AsyncClient, source: str, **more: Any) -> None:
    reply = await client.post("/v1/mods", json={"source": source, **more})
    assert reply.status_code in (200, 201), reply.text


async def test_a_dry_run_tells_tokens_actions_prints_and_the_laws(
    client: httpx.AsyncClient, pool: HostPool
) -> None:
    helper = "def get_greeting():\n    return 'hello'\n"
    await client.post("/sdk", json={"name": "greeting", "source": helper})
    await upload(client, GREETING + CALM)
    reply = await client.post(
        "/v1/mods/calm/dry-run", json={"scripted": True, "text": "No! Yes", "max_tokens": 16}
    )
    assert reply.status_code == 200, reply.text
    came = reply.json()
    assert came["text"] == "No. Yes"
    forced = {"id": ord("."), "text": ".", "origin": "forced", "mod": "calm"}
    assert came["tokens"][2] == forced
    assert came["tokens"][0] == {"id": ord("N"), "text": "N", "origin": "sampled", "mod": None}
    assert (came["finish_reason"], came["status"]) == ("stop", 200)
    assert came["usage"] == {"sampled_tokens": 7, "forced_tokens": 1, "erased_tokens": 1}
    assert came["actions"][0]["action"] == "force_tokens"
    assert came["prints"] == [{"mod": "calm", "text": "calm hello"}]
    assert came["laws"]["broken"] is None
    assert came["laws"]["runs"] > 4
    assert [event["event"] for event in came["events"][:4]] == [
        "Prefilled", "ForwardPass", "Sampled", "Added",
    ]  # fmt: skip
    assert came["events"][2]["token"] == {"id": ord("N"), "text": "N"}
    put = next(event for event in came["events"] if event.get("forced"))
    assert (put["mod"], put["position"]) == ("calm", 3)
    assert came["events"][-1]["reason"] == "stop"
    assert not list(pool.run_dir.glob("*.sock")), "the process is still there"


async def test_several_mods_are_run_together_and_the_laws_can_be_left_out(
    client: httpx.AsyncClient,
) -> None:
    await upload(client, CALM.replace("get_greeting()", "''"))
    await upload(client, CALM.replace("get_greeting()", "''"), name="calm2")
    asked = {"scripted": True, "text": "No!", "laws": False}
    came = (await client.post("/v1/mods/calm+calm2/dry-run", json=asked)).json()
    assert [mod["name"] for mod in came["mods"]] == ["calm", "calm2"]
    assert came["laws"] == {
        "checked": False, "runs": 0, "calls": 0, "acted": {}, "complete": True, "broken": None,
    }  # fmt: skip


async def test_a_broken_law_comes_with_its_story(client: httpx.AsyncClient) -> None:
    await upload(client, CALM.replace('actions.force_tokens(".")', "1 / 0").replace("get_", "str"))
    came = (
        await client.post("/v1/mods/calm/dry-run", json={"scripted": True, "text": "Oh!"})
    ).json()
    assert came["status"] == 422
    assert came["laws"]["broken"]["law"] == 8
    assert came["failures"][0]["traceback"]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("while True: pass", "ran longer than its hard deadline"),
        ("import os; os._exit(3)", "exit code 3"),
    ],
)
async def test_a_mod_that_does_not_come_back_costs_its_process_and_a_424(
    client: httpx.AsyncClient, pool: HostPool, line: str, words: str
) -> None:
    await upload(client, f"from mods.sdk import mod\n@mod\ndef bad(e, a, t):\n    {line}\n")
    reply = await client.post("/v1/mods/bad/dry-run", json={"scripted": True})
    assert reply.status_code == 424
    assert words in reply.json()["error"]["message"]
    assert not list(pool.run_dir.glob("*.sock"))


async def test_a_mod_that_waits_is_run_too(client: httpx.AsyncClient) -> None:
    source = (
        "import asyncio\nfrom mods.sdk import *\n@mod\nasync def waits(event, actions, t):\n"
        "    await asyncio.sleep(0.3)\n"
        "    if event.name == 'ForwardPass' and event.position == 0:\n"
        "        return actions.force_tokens('Well, ')\n"
    )
    await upload(client, source)
    came = (
        await client.post("/v1/mods/waits/dry-run", json={"scripted": True, "text": "Well, no"})
    ).json()
    assert came["text"].startswith("Well, ")
    assert came["laws"]["broken"] is None, came["laws"]["broken"]


@pytest.mark.parametrize(
    "body",
    [
        {"max_tokens": 0},
        {"max_tokens": 10_000},
        {"prompt": "x" * 5000, "scripted": True},
        {"prompts": "x"},
        {"text": "only a scripted model writes a text"},
        {"laws": False},
        {"seed": 4, "scripted": True},
        {"raw": True, "messages": [{"role": "user", "content": "x"}]},
    ],
)
async def test_what_cannot_be_run_is_a_400(client: httpx.AsyncClient, body: dict[str, Any]) -> None:
    await upload(client, CALM.replace("get_greeting()", "''"))
    reply = await client.post("/v1/mods/calm/dry-run", json=body)
    assert reply.status_code == 400
    assert reply.json()["error"]["param"] == next(iter(body))


async def test_an_unknown_mod_is_a_404(client: httpx.AsyncClient) -> None:
    assert (await client.post("/v1/mods/nobody/dry-run", json={})).status_code == 404


async def test_dry_runs_wait_for_each_other(client: httpx.AsyncClient, pool: HostPool) -> None:
    await upload(client, CALM.replace("get_greeting()", "''"))
    asked = {"scripted": True, "laws": False}
    replies = await asyncio.gather(
        *(client.post("/v1/mods/calm/dry-run", json=asked) for _ in range(6))
    )
    assert {reply.status_code for reply in replies} == {200}
