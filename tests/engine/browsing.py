"""A real Chromium that looks at the real server, and tells on a page that misbehaves."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from deploy import chromium
from tests.engine.live import Live

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Dialog, Page, Request

PATIENCE_MS = 60_000
"""For one thing to appear, on a busy machine."""


@contextmanager
def browsing() -> Iterator[Browser]:
    """A headless Chromium. Playwright's loop counts as running until it has ended, so no test
    with a loop of its own may run meanwhile: a browser belongs to one module."""
    from playwright.sync_api import expect, sync_playwright

    try:
        path = chromium.get()
    except chromium.NoChromiumError as error:
        pytest.fail(str(error), pytrace=False)
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        # Root has no sandbox in a container; what is shown is the tests' own.
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()
    asyncio.set_event_loop(None)


@dataclass
class Window:
    """A tab with an address bar, and what it did that it should not."""

    page: Page
    live: Live
    wrong: list[str] = field(default_factory=list)
    """Errors on the console, exceptions, dialogs, and requests that left the server."""

    def __post_init__(self) -> None:
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda error: self.wrong.append(f"exception: {error}"))
        self.page.on("dialog", self._asked)
        self.page.on("request", self._requested)

    def go(self, path: str) -> None:
        self.page.goto(f"{self.live.url}{path}")

    def spare(self, words: str) -> None:
        """What the browser itself logs of failing requests, where a test makes them fail."""
        self.wrong = [each for each in self.wrong if words not in each]

    def width_beyond(self) -> int:
        """Pixels by which the page is wider than the window."""
        told = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        return int(self.page.evaluate(told))

    def _said(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.wrong.append(f"console: {message.text}")

    def _asked(self, dialog: Dialog) -> None:
        self.wrong.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def _requested(self, request: Request) -> None:
        if not request.url.startswith((self.live.url, "data:", "blob:")):
            self.wrong.append(f"left the server: {request.url}")


@contextmanager
def opened(browser: Browser, live: Live, **looks: Any) -> Iterator[Window]:
    """A fresh tab, without what another has stored. Fails if it did anything wrong."""
    context = browser.new_context(
        **{"viewport": {"width": 1280, "height": 860}, **looks}, locale="en-GB"
    )
    context.set_default_timeout(PATIENCE_MS)
    try:
        shown = Window(context.new_page(), live)
        yield shown
        assert not shown.wrong, "\n".join(shown.wrong)
    finally:
        context.close()
