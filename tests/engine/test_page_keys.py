"""The page on a server that has keys: what a browser is asked for, and what opens with the answer.

The reference engine answers here, which is there sooner than the real one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import httpx
import pytest
from playwright.sync_api import expect

from tests.engine.browsing import opened
from tests.engine.live import Live, open_home, serving

if TYPE_CHECKING:
    from playwright.sync_api import Browser

KEY = "the-operator-s-own-key"
SETTINGS = {"CONCORDANCE_BACKEND": "huggingface", "CONCORDANCE_EMBEDDED_POSTGRES": "true"}


@pytest.fixture(scope="module")
def locked() -> Iterator[Live]:
    with open_home() as home, serving(home, "--api-key", KEY, **SETTINGS) as server:
        yield server


def credentials(password: str) -> dict[str, str]:
    return {"username": "anyone", "password": password}


def key_of(locked: Live, user: str, *scopes: str) -> str:
    """A new key, which reaches so far."""
    made = httpx.post(
        f"{locked.url}/add_user",
        json={"user": user, "scopes": scopes},
        headers={"authorization": f"Bearer {KEY}"},
        timeout=30,
    )
    assert made.status_code == 201, made.text
    return str(made.json()["user_api_key"])


def test_without_the_key_a_browser_is_asked_for_one(locked: Live) -> None:
    answer = httpx.get(f"{locked.url}/requests", timeout=30)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Basic ")


def test_with_a_wrong_one_it_gets_nothing(browser: Browser, locked: Live) -> None:
    with opened(browser, locked, http_credentials=credentials("a wrong one")) as window:
        answer = window.page.goto(f"{locked.url}/requests")
        assert answer is not None
        assert answer.status == 401
        assert "<script" not in window.page.content()
        window.spare("401 (Unauthorized)")


def test_with_the_key_as_password_everything_opens(browser: Browser, locked: Live) -> None:
    with opened(browser, locked, http_credentials=credentials(KEY)) as window:
        page = window.page
        window.go("/playground")
        page.get_by_label("Tokens, at most").fill("8")
        page.get_by_label("Your message").fill("What is the capital of France?")
        page.get_by_role("button", name="Send").click()
        expect(page.locator(".reply .text")).to_contain_text("The capital")
        page.get_by_role("link", name="requests", exact=False).first.click()
        expect(page.locator(".live")).to_contain_text("live")
        page.locator(".request a").first.click()
        expect(page.locator(".strip .token.sampled").first).to_be_visible()


def test_a_key_that_does_not_reach_far_enough_is_said_and_another_taken(
    browser: Browser, locked: Live
) -> None:
    narrow, wide = key_of(locked, "ann", "infer"), key_of(locked, "ann", "infer", "traces")
    with opened(browser, locked, http_credentials=credentials(narrow)) as window:
        page = window.page
        window.go("/requests")
        alert = page.get_by_role("alert")
        expect(alert).to_contain_text("traces")
        alert.get_by_label("Key", exact=True).fill(wide)
        alert.get_by_role("button", name="Use this key").click()
        expect(page.locator(".nothing")).to_contain_text("No request has been made yet")
        window.spare("403 (Forbidden)")
