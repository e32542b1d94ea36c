"""`POST /validate_constraints` says what a constraint costs, or what is wrong with it and where."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from mods.sdk.constraints import Regex, digest
from server.constraints.admission import Admission
from server.constraints.routes import mount_constraints


@pytest.fixture
async def client(admission: Admission) -> AsyncIterator[httpx.AsyncClient]:
    app = FastAPI()
    mount_constraints(app, admission)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        yield client


async def validate(client: httpx.AsyncClient, constraints: Any) -> dict[str, Any]:
    answer = await client.post("/validate_constraints", json={"constraints": constraints})
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


async def test_what_a_constraint_costs(client: httpx.AsyncClient) -> None:
    told = await validate(client, {"type": "regex", "pattern": "[a-z]+"})
    assert told["valid"] is True
    assert told["error"] is None
    assert told["digest"] == digest(Regex("[a-z]+"))
    assert told["compile_time_ms"] > 0
    assert told["mask_time_ms"] > 0
    assert told["size_bytes"] > 10
    assert told["masks"] == 1


async def test_warnings_are_told(client: httpx.AsyncClient) -> None:
    told = await validate(client, {"type": "json", "schema": {"flavour": 1}})
    assert told["valid"] is True
    assert "flavour" in told["warnings"][0]


async def test_what_is_wrong_and_where(client: httpx.AsyncClient) -> None:
    schema = {"properties": {"a": {"uniqueItems": True}}}
    told = await validate(client, ["a", {"type": "json", "schema": schema}])
    assert told["valid"] is False
    assert told["error"]["part"] == "sequence[1]"
    assert told["error"]["position"] == "#/properties/a/uniqueItems"
    assert "uniqueItems" in told["error"]["message"]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ('{"constraints": [', "not JSON"),
        ('{"constraints": {"type": "regex"}}', "pattern"),
        ('{"constraint": {}}', "constraint"),
        ("[]", "body"),
        ('{"constraints": ' + "[" * 3000 + "]" * 3000 + "}", ""),
        ("[" * 100_000, ""),
    ],
)
async def test_a_body_that_cannot_be_read_is_a_400(
    client: httpx.AsyncClient, body: str, message: str
) -> None:
    answer = await client.post(
        "/validate_constraints", content=body, headers={"content-type": "application/json"}
    )
    assert answer.status_code == 400, answer.text
    error = answer.json()["error"]
    assert message in error["message"]
    assert error["code"] == 400


async def test_a_body_that_is_too_large_is_a_413(client: httpx.AsyncClient) -> None:
    body = b'{"constraints": "' + b"a" * (2 * 2**20) + b'"}'
    answer = await client.post("/validate_constraints", content=body)
    assert answer.status_code == 413
