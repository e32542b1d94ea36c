"""How the page looks: readable by everybody, on every width, with the longest of traces.

PAGE_PICTURES names a folder for the pictures that are taken; `make pictures` fills docs/pictures.
"""

from __future__ import annotations

import importlib.resources
import json
import os
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.engine.browsing import Window, opened
from tests.engine.live import Live
from tests.engine.told import QUESTION, Stored, bring, long_trace

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

from playwright.sync_api import expect

LONG = 10_000
MOST_TOKENS_DRAWN = 1_500
"""Elements of tokens at once: those in sight and a few lines around them."""

PAGES = {
    "requests": "/requests",
    "request": "/requests/{rethought}",
    "failed": "/requests/{failed}",
    "compare": "/compare/{plain}/{rethought}",
    "playground": "/playground?mods=page_greets",
    "mods": "/mods",
    "mod": "/mods/page_greets",
    "overview": "/overview",
    "nothing": "/requests?mod=nobody",
}
READY = {
    "requests": ".request",
    "request": ".strip .forced",
    "failed": ".happening.failure",
    "compare": ".token.differs",
    "playground": ".chain li",
    "mods": "tbody tr",
    "mod": ".cm-content",
    "overview": ".bars",
    "nothing": ".nothing",
}
KEPT = ("request-light", "request-dark", "requests-light", "playground-dark", "mod-light")
"""Pictures that are shown in the documents."""


def show(window: Window, name: str, stored: Stored) -> Page:
    """Open a page and wait until what it is about is there."""
    window.go(PAGES[name].format(**vars(stored)))
    expect(window.page.locator(READY[name]).first).to_be_visible()
    return window.page


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_axe_finds_nothing_serious(
    browser: Browser, live: Live, stored: Stored, name: str, scheme: str
) -> None:
    with opened(browser, live, color_scheme=scheme) as window:
        page = show(window, name, stored)
        if name == "request":
            page.locator(".strip .sampled").first.hover()
            expect(page.locator(".alternatives")).to_be_visible()
        faults = serious(page)
    assert not faults, json.dumps(faults, indent=1)


def serious(page: Page) -> list[dict[str, Any]]:
    """What axe finds that is serious or critical: the rule, and where."""
    script = importlib.resources.files("axe_playwright_python") / "axe.min.js"
    page.evaluate(script.read_text())
    found = page.evaluate("async () => (await axe.run()).violations")
    return [
        {"rule": each["id"], "where": [node["html"][:200] for node in each["nodes"][:5]]}
        for each in found
        if each["impact"] in ("serious", "critical")
    ]


def test_axe_would_find_a_fault(window: Window) -> None:
    window.go("/requests?mod=nobody")
    expect(window.page.locator(".nothing")).to_be_visible()
    window.page.evaluate("document.querySelector('main').append(document.createElement('button'))")
    assert [fault["rule"] for fault in serious(window.page)] == ["button-name"]


@pytest.mark.parametrize("width", [360, 1920, 2560])
def test_no_page_is_wider_than_its_window(
    browser: Browser, live: Live, stored: Stored, width: int
) -> None:
    looks = {"viewport": {"width": width, "height": 800}}
    with opened(browser, live, **looks) as window:
        for name in PAGES:
            show(window, name, stored)
            assert window.width_beyond() <= 0, name


def test_a_wide_thing_would_be_noticed(window: Window) -> None:
    window.go("/requests?mod=nobody")
    expect(window.page.locator(".nothing")).to_be_visible()
    window.page.evaluate("document.querySelector('.nothing').style.width = '3000px'")
    assert window.width_beyond() > 0


MEASURE = """() => {
  window.tasks = [];
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) window.tasks.push(Math.round(entry.duration));
  }).observe({ type: "longtask", buffered: true });
}"""
SCROLL = """async () => {
  window.tasks = [];
  const list = document.querySelector(".strip .virtual");
  const frame = () => new Promise(requestAnimationFrame);
  let most = 0;
  for (let turn = 0; turn < 120; turn += 1) {
    list.scrollTop = (list.scrollHeight * turn) / 120;
    await frame();
    most = Math.max(most, list.querySelectorAll(".token").length);
  }
  await frame();
  return { tasks: window.tasks, most, lines: list.scrollHeight / 28 };
}"""


def test_of_ten_thousand_tokens_only_those_in_sight_are_drawn(
    browser: Browser, live: Live, record_property: Any
) -> None:
    """The times are told, never judged: they are the machine's as much as the page's."""
    request_id = bring(live, long_trace(f"long-{uuid.uuid4().hex[:12]}", LONG))
    with opened(browser, live) as window:
        page = window.page
        page.add_init_script(f"({MEASURE})()")
        window.go("/requests?mod=nobody")
        expect(page.locator(".nothing")).to_be_visible()
        opening = page.evaluate(
            """async (id) => {
              window.tasks = [];
              const begun = performance.now();
              history.pushState(null, "", `/requests/${id}`);
              dispatchEvent(new Event("concordance-moved"));
              while (!document.querySelector(".strip .forced"))
                await new Promise(requestAnimationFrame);
              return { ms: Math.round(performance.now() - begun), tasks: window.tasks };
            }""",
            request_id,
        )
        expect(page.locator(".strip .token.forced").first).to_be_visible()
        scrolling = page.evaluate(SCROLL)
        page.get_by_role("slider", name="Event").press("Home")
        expect(page.locator(".strip .token.sampled")).to_have_count(0)
    told = {"opening": opening, "scrolling": scrolling}
    record_property("ten_thousand_tokens", told)
    print(f"\na trace of {LONG} tokens: {json.dumps(told)}")
    assert scrolling["lines"] > 500
    assert 0 < scrolling["most"] <= MOST_TOKENS_DRAWN


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pictures_of_each_page_are_taken(
    browser: Browser, live: Live, stored: Stored, scheme: str, tmp_path: Path
) -> None:
    given = os.environ.get("PAGE_PICTURES", "")
    folder = Path(given) if given else tmp_path
    folder.mkdir(parents=True, exist_ok=True)
    taken = []
    looks = {"color_scheme": scheme, "viewport": {"width": 1080, "height": 700}}
    with opened(browser, live, **looks) as window:
        for name in PAGES:
            page = show(window, name, stored)
            ready_for_a_picture(page, name)
            if given and f"{name}-{scheme}" not in KEPT:
                continue
            taken.append(folder / f"{name}-{scheme}.png")
            page.screenshot(path=taken[-1])
        window.spare("404 (Not Found)")  # a trace that is asked for before it is stored
    assert taken
    sizes = {path.name: path.stat().st_size for path in taken}
    assert all(5_000 < size < 150_000 for size in sizes.values()), sizes


def ready_for_a_picture(page: Page, name: str) -> None:
    """Do what makes a page worth a picture."""
    if name == "request":
        page.locator(".strip .sampled").nth(1).click()
    if name == "playground":
        page.get_by_label("beside it, without mods").check()
        page.get_by_label("Your message").fill(QUESTION)
        page.get_by_role("button", name="Send").click()
        reply = page.get_by_label("with page_greets")
        reply.get_by_role("button", name="Token by token").click()
        expect(reply.locator(".token.forced").first).to_be_visible()
    if name == "mod":
        dry = page.get_by_label("Dry run", exact=True)
        dry.get_by_label("Prompt").fill(QUESTION)
        dry.get_by_role("button", name="Run it").click()
        expect(dry.locator(".output .forced").first).to_be_visible()
    page.mouse.move(0, 0)
