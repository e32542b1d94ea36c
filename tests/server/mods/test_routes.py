"""Uploading, listing, showing and deleting over HTTP; whatever is wrong is a 400 or a 404."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from mods.runtime.compile import Traits
from mods.runtime.load import load_chain
from mods.runtime.package import Package
from mods.sdk.errors import HostError
from server.mods.caller import EVERYBODY
from server.mods.registry import ModRegistry
from server.mods.routes import ModsState, router

SOURCE = '''from mods.sdk import mod


@mod(events="Added", reach=2)
def shout(event, actions, tokenizer):
    """Makes it loud."""
    return actions.noop()
'''


class Hosts:
    """A check that loads in this process, or fails as a host would."""

    error: Exception | None = None

    async def __call__(self, package: Package, shared: Mapping[str, str]) -> Traits:
        if self.error is not None:
            raise self.error
        return load_chain([package], shared)[0].traits


@pytest.fixture
def hosts() -> Hosts:
    return Hosts()


@pytest.fixture
def registry() -> ModRegistry:
    return ModRegistry()


@pytest.fixture
async def client(registry: ModRegistry, hosts: Hosts) -> AsyncIterator[httpx.AsyncClient]:
    app = FastAPI()
    app.include_router(router)
    app.state.concordance_mods = ModsState(registry, hosts)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://server") as client:
        yield client


async def refused(client: httpx.AsyncClient, path: str = "/v1/mods", **body: Any) -> dict[str, Any]:
    """The error of an upload that must be a 400 and leave nothing behind."""
    reply = await client.post(path, json=body)
    assert reply.status_code == 400, reply.text
    assert (await client.get("/v1/mods")).json()["data"] == []
    assert (await client.get("/sdk")).json()["data"] == []
    error: dict[str, Any] = reply.json()["error"]
    assert error["code"] == 400
    assert error["type"] == "invalid_mod"
    return error


async def test_a_mod_is_registered_and_then_replaced(client: httpx.AsyncClient) -> None:
    reply = await client.post("/v1/mods", json={"source": SOURCE})
    assert reply.status_code == 201
    first = reply.json()
    assert (first["name"], first["entry"], first["replaced"]) == ("shout", "mod:shout", False)
    again = await client.post("/v1/mods", json={"source": SOURCE + "# more\n"})
    assert again.status_code == 200
    assert again.json()["replaced"]
    assert again.json()["digest"] != first["digest"]


async def test_the_list_and_the_mod_tell_the_same(client: httpx.AsyncClient) -> None:
    await client.post("/v1/mods", json={"source": SOURCE})
    listed = (await client.get("/v1/mods")).json()
    shown = (await client.get("/v1/mods/shout")).json()
    assert listed == {"object": "list", "data": [shown]}
    assert shown["description"] == "Makes it loud."
    assert (shown["events"], shown["reach"], shown["logits"]) == (["Added"], 2, False)
    assert shown["files"] == [{"path": "mod.py", "size": len(SOURCE), "source": None}]


async def test_the_source_comes_only_when_asked_for(client: httpx.AsyncClient) -> None:
    await client.post("/v1/mods", json={"files": {"a.py": SOURCE, "b/c.py": "# é\n"}})
    shown = (await client.get("/v1/mods/shout?source=true")).json()
    assert shown["files"][0]["source"] == SOURCE
    assert shown["files"][1] == {"path": "b/c.py", "size": 5, "source": "# é\n"}


async def test_a_deleted_mod_is_gone(client: httpx.AsyncClient) -> None:
    await client.post("/v1/mods", json={"source": SOURCE})
    reply = await client.delete("/v1/mods/shout")
    assert reply.json() == {"object": "mod", "name": "shout", "deleted": True}
    assert (await client.get("/v1/mods/shout")).status_code == 404


@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_an_unknown_mod_is_a_404_that_names_those_there_are(
    client: httpx.AsyncClient, method: str
) -> None:
    await client.post("/v1/mods", json={"source": SOURCE})
    reply = await client.request(method, "/v1/mods/shut")
    assert reply.status_code == 404
    error = reply.json()["error"]
    assert error["message"] == "no mod 'shut'; there are shout"
    assert (error["type"], error["code"]) == ("unknown_mod", 404)


async def test_a_mod_the_server_started_with_cannot_be_deleted(
    client: httpx.AsyncClient, registry: ModRegistry
) -> None:
    registry.register(EVERYBODY, Package.from_source(SOURCE), Traits("shout"))
    assert (await client.delete("/v1/mods/shout")).status_code == 409
    assert (await client.get("/v1/mods/shout")).json()["shared"]


async def test_broken_syntax_is_a_400_with_its_line(client: httpx.AsyncClient) -> None:
    error = await refused(client, source="x = 1\ndef f(:\n")
    assert (error["line"], error["file"], error["param"]) == (2, "mod.py", "source")
    assert "invalid syntax" in error["message"]


async def test_no_mod_and_two_mods_are_a_400(client: httpx.AsyncClient) -> None:
    assert "no mod in mod.py" in (await refused(client, source="x = 1\n"))["message"]
    two = await refused(client, source=SOURCE + SOURCE.replace("shout", "other"))
    assert "'shout' (mod.py, line 5) and 'other'" in two["message"]


async def test_a_mod_that_fails_to_import_is_a_400_with_its_line(client: httpx.AsyncClient) -> None:
    error = await refused(client, source=SOURCE + "1 / 0\n")
    assert "ZeroDivisionError" in error["message"]
    assert error["line"] == 8


async def test_a_mod_that_never_finishes_importing_is_a_400(
    client: httpx.AsyncClient, hosts: Hosts
) -> None:
    hosts.error = HostError("loading took longer than 10 s")
    error = await refused(client, source=SOURCE)
    assert error["message"] == "mod 'shout' cannot be loaded: loading took longer than 10 s"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"{", "the body is not JSON"),
        (b"", "the body: field required"),
        (b"[]", "the body: input should be a valid dictionary"),
        (b'{"source": 3}', "source: input should be a valid string, got int"),
        (b'{"files": {"a.py": 3}}', "files.a.py: input should be a valid string, got int"),
        (b'{"colour": "red"}', "unknown field 'colour'"),
        (b"{}", "expected one of source, files and import_path"),
        (b'{"source": "\\ud800"}', "not UTF-8"),
        (b'{"name": "\\ud800", "source": "x"}', "no mod in mod.py"),
    ],
)
@pytest.mark.parametrize("path", ["/v1/mods", "/sdk"])
async def test_a_malformed_body_is_a_400_in_the_same_shape(
    client: httpx.AsyncClient, path: str, body: bytes, expected: str
) -> None:
    reply = await client.post(path, content=body, headers={"content-type": "application/json"})
    assert reply.status_code == 400
    error = reply.json()["error"]
    assert set(error) == {"message", "type", "param", "code", "file", "line"}
    if path == "/v1/mods":
        assert expected in error["message"]


async def test_a_body_that_is_not_declared_as_json_is_refused(client: httpx.AsyncClient) -> None:
    reply = await client.post(
        "/v1/mods", content=b'{"source": ""}', headers={"content-type": "text/plain"}
    )
    assert reply.status_code == 400
    assert "content-type: application/json" in reply.json()["error"]["message"]


async def test_helper_modules_can_be_imported_by_mods(client: httpx.AsyncClient) -> None:
    source = "import helpers\n" + SOURCE
    assert "No module named 'helpers'" in (await refused(client, source=source))["message"]
    shared = await client.post("/sdk", json={"name": "helpers", "source": "X = 1\n"})
    assert shared.status_code == 201
    assert shared.json()["data"] == [{"path": "helpers.py", "size": 6, "source": None}]
    assert (await client.post("/v1/mods", json={"source": source})).status_code == 201


async def test_helper_modules_are_replaced_and_listed(client: httpx.AsyncClient) -> None:
    await client.post("/sdk", json={"files": {"a.py": "", "b/c.py": ""}})
    assert (await client.post("/sdk", json={"files": {"a.py": "X = 1\n"}})).status_code == 200
    listed = (await client.get("/sdk?source=true")).json()["data"]
    assert [(file["path"], file["source"]) for file in listed] == [
        ("a.py", "X = 1\n"),
        ("b/c.py", ""),
    ]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"name": "helpers", "source": "x = (\n"}, "helpers.py, line 1"),
        ({"files": {"../a.py": ""}}, "is not allowed"),
        ({"name": "mods", "source": ""}, "cannot be called 'mods'"),
        ({}, "expected name and source, or files; got nothing"),
    ],
)
async def test_broken_helper_modules_are_a_400(
    client: httpx.AsyncClient, body: dict[str, Any], expected: str
) -> None:
    assert expected in (await refused(client, "/sdk", **body))["message"]


async def test_the_api_describes_itself(client: httpx.AsyncClient) -> None:
    paths = (await client.get("/openapi.json")).json()["paths"]
    upload = paths["/v1/mods"]["post"]
    assert {"200", "201", "4XX"} <= set(upload["responses"])
    assert "422" not in upload["responses"]
    assert set(paths) == {
        "/v1/mods", "/v1/mods/{name}", "/v1/mods/dry-run", "/v1/mods/{name}/dry-run", "/sdk",
    }  # fmt: skip
