"""What the page says when something goes wrong: its own plain words for each, and a way on."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING

import httpx

from tests.engine.browsing import Window
from tests.engine.live import Live
from tests.engine.told import QUESTION, Stored, wait_for

if TYPE_CHECKING:
    from playwright.sync_api import Route

from playwright.sync_api import expect

LISTING = "**/logs?*"


def refusal(status: int, kind: str, message: str) -> dict[str, object]:
    """As the server's own gate says it."""
    error = {"message": message, "type": kind, "param": None, "code": status}
    return {"status": status, "json": {"error": error}}


def test_a_server_that_is_away_is_said_to_be_away_and_comes_back(
    window: Window, stored: Stored
) -> None:
    page = window.page
    page.route("**/logs**", lambda route: route.abort("connectionrefused"))
    window.go("/requests")
    expect(page.get_by_role("alert")).to_contain_text("The server does not answer")
    expect(page.locator(".bar-line")).to_contain_text("Not live at the moment")
    page.unroute("**/logs**")
    page.get_by_role("button", name="Try again").click()
    expect(page.locator(".request").first).to_be_visible()
    window.spare("ERR_CONNECTION_REFUSED")


def test_a_slow_answer_is_called_slow_and_can_be_asked_for_again(
    window: Window, stored: Stored
) -> None:
    page = window.page
    waiting: list[Route] = []
    # News of other requests would have the list asked for again by itself.
    page.route("**/logs/stream?*", lambda route: route.abort())
    page.route(LISTING, lambda route: waiting.append(route))
    window.go("/requests")
    expect(page.get_by_role("status")).to_contain_text("This takes longer than usual")
    page.unroute(LISTING)
    page.get_by_role("button", name="Ask again").click()
    expect(page.locator(".request").first).to_be_visible()
    for route in waiting:
        route.abort()
    window.spare("ERR_FAILED")


def test_a_key_that_is_missing_wrong_or_expired_is_asked_for(
    window: Window, stored: Stored
) -> None:
    page = window.page
    given = ["first"]

    def gate(route: Route) -> None:
        if route.request.headers.get("authorization") == f"Bearer {given[0]}":
            route.continue_()
        else:
            route.fulfill(**refusal(401, "unauthorized", "a valid API key is needed"))  # type: ignore[arg-type]

    page.route("**/logs**", gate)
    window.go("/requests")
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("This server wants a key")
    alert.get_by_label("Key", exact=True).fill("wrong")
    alert.get_by_role("button", name="Use this key").click()
    expect(alert).to_contain_text("a valid API key is needed")
    alert.get_by_label("Key", exact=True).fill("first")
    alert.get_by_role("button", name="Use this key").click()
    expect(page.locator(".request").first).to_be_visible()
    given[0] = "second"
    page.locator(".request a").first.click()
    expect(alert).to_contain_text("This server wants a key")
    alert.get_by_label("Key", exact=True).fill("second")
    alert.get_by_role("button", name="Use this key").click()
    expect(page.locator(".happened")).to_be_visible()
    window.spare("401 (Unauthorized)")


def test_traces_that_cannot_be_read_are_not_called_a_fault_of_the_page(
    window: Window, live: Live
) -> None:
    page = window.page
    told = refusal(503, "trace_away", "the database is away")
    page.route(LISTING, lambda route: route.fulfill(**told))  # type: ignore[arg-type]
    window.go("/requests")
    expect(page.get_by_role("alert")).to_contain_text("cannot read its traces at the moment")
    window.spare("503 (Service Unavailable)")


def test_a_trace_that_was_deleted_is_not_there_and_there_is_a_way_on(
    window: Window, live: Live
) -> None:
    page = window.page
    request_id = live.chat(f"Delete me {uuid.uuid4().hex}").json()["id"]
    wait_for(live, request_id)
    window.go(f"/requests/{request_id}")
    page.get_by_role("button", name="Delete …").click()
    page.get_by_role("button", name="Yes, delete it").click()
    expect(page.locator(".request").first).to_be_visible()
    expect(page.locator(f'a[href="/requests/{request_id}"]')).to_have_count(0)
    window.go(f"/requests/{request_id}")
    expect(page.get_by_role("alert")).to_contain_text("This is not there")
    page.get_by_role("link", name="All requests").click()
    expect(page.locator(".request").first).to_be_visible()
    assert httpx.get(f"{live.url}/logs/{request_id}", timeout=30).status_code == 404
    window.spare("404 (Not Found)")


def test_a_stream_that_breaks_keeps_what_had_come_and_asks_again(window: Window) -> None:
    page = window.page
    chunk = {"id": "cut", "choices": [{"index": 0, "delta": {"content": "The capital of"}}]}
    page.route(
        "**/v1/chat/completions",
        lambda route: route.fulfill(
            content_type="text/event-stream", body=f"data: {json.dumps(chunk)}\n\n"
        ),
    )
    window.go("/playground")
    page.get_by_label("Temperature").fill("0")
    page.get_by_label("Your message").fill(QUESTION)
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_role("alert")).to_contain_text("The stream broke")
    expect(page.locator(".reply .text")).to_have_text("The capital of")
    page.unroute("**/v1/chat/completions")
    page.get_by_role("button", name="Try again").click()
    expect(page.locator(".reply .text")).to_have_text("The capital of France is Paris.")
    expect(page.get_by_role("alert")).to_have_count(0)


def test_a_mod_that_fails_is_named_where_one_talks_to_the_model(
    window: Window, stored: Stored
) -> None:
    page = window.page
    window.go("/playground?mods=page_breaks")
    page.get_by_label("Your message").fill(QUESTION)
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_role("alert")).to_contain_text("page_breaks")
    expect(page.get_by_role("alert")).to_contain_text("KeyError")
    window.spare("422 (Unprocessable")


def test_an_address_without_a_page_says_so(window: Window, live: Live) -> None:
    window.go("/requests/never-been")
    expect(window.page.get_by_role("alert")).to_contain_text("This is not there")
    window.spare("404 (Not Found)")
