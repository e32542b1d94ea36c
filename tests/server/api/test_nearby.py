from __future__ import annotations

import pytest
from starlette.datastructures import Headers

from server.api.nearby import is_nearby

HERE = ("127.0.0.1", "127.0.0.1:8000", "localhost", "LocalHost:1", "[::1]:80", "app.localhost")
ELSEWHERE = ("example.org", "127.0.0.1.example.org", "10.0.0.1", "", "[", "localhost.example.org")


@pytest.mark.parametrize("host", HERE)
def test_names_of_this_machine_are_nearby(host: str) -> None:
    assert is_nearby(Headers({"host": host}))
    assert is_nearby(Headers({"host": host, "origin": "http://localhost:3000"}))


@pytest.mark.parametrize("host", ELSEWHERE)
def test_a_page_that_resolved_its_own_name_to_here_is_not(host: str) -> None:
    assert not is_nearby(Headers({"host": host}))


@pytest.mark.parametrize("origin", ["http://example.org", "null", "", "http://[", "file://"])
def test_a_page_of_another_site_is_not(origin: str) -> None:
    assert not is_nearby(Headers({"host": "localhost", "origin": origin}))
    assert is_nearby(Headers({"host": "localhost", "origin": origin}), ["*"])


def test_a_site_that_the_operator_allows_is() -> None:
    headers = Headers({"host": "localhost", "origin": "https://app.example.org"})
    assert is_nearby(headers, ["https://app.example.org"])
    assert not is_nearby(headers, ["https://other.example.org"])


def test_none_or_two_hosts_are_not() -> None:
    assert not is_nearby(Headers({}))
    assert not is_nearby(Headers(raw=[(b"host", b"localhost"), (b"host", b"example.org")]))
