"""Where a key may stand, and when a browser's password counts."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.datastructures import Headers

from server.api.credentials import CHALLENGE, secret_in
from tests.server.api.gates import THROUGH, Keys, client_of, gate_before

HOST = "models.example.org:8000"


def basic(name: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": "Bearer ck_1"},
        {"authorization": "bearer  ck_1 "},
        {"x-user-api-key": "ck_1"},
        {"x-api-key": "ck_1"},
        {"authorization": basic("anna", "ck_1")},
        {"authorization": basic("", "ck_1")},
        {"authorization": basic("ck_1", "")},
    ],
)
def test_a_key_is_found_where_clients_and_browsers_put_it(headers: dict[str, str]) -> None:
    assert secret_in(Headers({"host": HOST, **headers})) == "ck_1"


@pytest.mark.parametrize("given", ["", "Basic", "Basic !", "Basic /w==", "Digest ck_1", "ck_1"])
def test_what_is_no_key_is_none(given: str) -> None:
    assert secret_in(Headers({"host": HOST, "authorization": given})) == ""


@pytest.mark.parametrize(
    ("behind", "counts"),
    [
        ({}, True),
        ({"sec-fetch-site": "none", "sec-fetch-mode": "navigate"}, True),
        ({"sec-fetch-site": "same-origin", "origin": f"http://{HOST}"}, True),
        ({"origin": f"https://{HOST.upper()}"}, True),
        # A link on another page leads here, as links do.
        ({"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}, True),
        ({"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"}, False),
        ({"sec-fetch-site": "same-site", "sec-fetch-mode": "cors"}, False),
        # A form on another page is sent with its origin.
        ({"sec-fetch-mode": "navigate", "origin": "http://evil.example"}, False),
        ({"origin": "http://evil.example"}, False),
        ({"origin": "http://models.example.org:8001"}, False),
        ({"origin": "null"}, False),
        ({"origin": "http://["}, False),
    ],
)  # fmt: skip
def test_a_password_that_the_browser_adds_counts_for_no_other_site(
    behind: dict[str, str], counts: bool
) -> None:
    headers = {"host": HOST, "authorization": basic("anna", "ck_1"), **behind}
    assert (secret_in(Headers(headers)) == "ck_1") == counts
    spoken = {**headers, "authorization": "Bearer ck_1"}
    assert secret_in(Headers(spoken)) == "ck_1"


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    keys = Keys(tmp_path)
    keys.add("anna", "infer")
    return keys


async def test_the_page_asks_a_browser_for_a_password_and_the_api_does_not(
    whole_app: Any, keys: Keys
) -> None:
    async with client_of(gate_before(whole_app, keys.home), HOST) as client:
        for path in ("/", "/requests/7", "/playground", "/assets/index.js"):
            refused = await client.get(path)
            assert refused.status_code == 401
            assert refused.headers["www-authenticate"] == CHALLENGE
            let_in = await client.get(path, auth=httpx.BasicAuth("anna", keys.secrets["anna"]))
            assert let_in.status_code == THROUGH
        for path in ("/v1/models", "/logs", "/metrics", "/nowhere"):
            refused = await client.get(path)
            assert refused.headers["www-authenticate"] == "Bearer"
        wrong = await client.get("/", auth=httpx.BasicAuth("anna", "ck_wrong"))
        assert wrong.status_code == 401
