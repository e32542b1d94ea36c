from __future__ import annotations

import pytest
from starlette.types import Message

from server.api.safe_headers import with_safe_headers


async def sent(path: str, *headers: tuple[bytes, bytes]) -> dict[bytes, bytes]:
    out: list[Message] = []

    async def send(message: Message) -> None:
        out.append(message)

    sending = with_safe_headers({"type": "http", "path": path}, send)
    await sending({"type": "http.response.start", "status": 200, "headers": list(headers)})
    await sending({"type": "http.response.body", "body": b"x"})
    assert out[1] == {"type": "http.response.body", "body": b"x"}
    return dict(out[0]["headers"])


@pytest.mark.parametrize("kind", [b"application/json", b"text/event-stream", b"text/plain", b""])
async def test_what_is_no_page_may_load_and_run_nothing(kind: bytes) -> None:
    headers = await sent("/v1/models", (b"content-type", kind))
    assert headers[b"content-security-policy"].startswith(b"default-src 'none'")
    assert headers[b"x-content-type-options"] == b"nosniff"
    assert headers[b"x-frame-options"] == b"DENY"


async def test_a_page_runs_our_own_scripts_only() -> None:
    headers = await sent("/", (b"content-type", b"text/html; charset=utf-8"))
    policy = headers[b"content-security-policy"]
    assert b"script-src 'self';" in policy
    assert b"frame-ancestors 'none'" in policy


async def test_the_pages_of_the_api_s_documentation_may_load_theirs() -> None:
    headers = await sent("/docs", (b"content-type", b"text/html"))
    assert b"cdn.jsdelivr.net" in headers[b"content-security-policy"]


async def test_what_the_application_says_itself_is_left_alone() -> None:
    headers = await sent("/", (b"content-security-policy", b"mine"), (b"x-frame-options", b"SAME"))
    assert headers[b"content-security-policy"] == b"mine"
    assert headers[b"x-frame-options"] == b"SAME"
