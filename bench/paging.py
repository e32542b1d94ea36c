"""The page's list of requests in a real browser, scrolled through page after page.

Nothing but the page, the routes of traces and a Postgres: no engine. What is measured is from the
scroll to the rows being there, and the tasks in which the browser did nothing else.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI

from deploy import chromium
from server.api.page import mount_page
from server.api.pieces import TokenPieces
from server.traces.archive import Archive
from server.traces.database import fixed
from server.traces.live import Live
from server.traces.mounting import mount_traces
from server.traces.service import Traces
from server.traces.spool import Spool
from server.traces.watching import Observer

PAGES = 100

_SCROLL = """async (pages) => {
  const tasks = [], took = [];
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) tasks.push(entry.duration);
  }).observe({ type: "longtask" });
  const frame = () => new Promise(requestAnimationFrame);
  const list = document.querySelector(".requests-list");
  let most = 0;
  for (let page = 0; page < pages; page += 1) {
    const height = list.scrollHeight;
    const begun = performance.now();
    while (list.scrollHeight === height) {
      list.scrollTop = Math.min(list.scrollTop + 600, list.scrollHeight);
      await frame();
      if (performance.now() - begun > 60000) throw new Error("no further page came");
    }
    took.push(performance.now() - begun);
    most = Math.max(most, list.querySelectorAll(".request").length);
  }
  await frame();
  return { tasks, took, most };
}"""


@dataclass(frozen=True)
class Paged:
    """pages: milliseconds of each, with the scrolling through it. tasks: of each that took the
    browser more than 50 ms. most: rows in the document at once."""

    pages: list[float]
    tasks: list[float]
    most: int


async def paged(url: str, folder: Path, pages: int) -> Paged:
    """Scroll down through so many pages of the store at `url`. folder: for what the routes need.

    Raises `NoChromiumError`.
    """
    # Not at the top: only this row needs a browser.
    from playwright.async_api import async_playwright

    program = await asyncio.to_thread(chromium.get)
    async with _served(url, folder) as address, async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        try:
            page = await browser.new_page(viewport={"width": 1280, "height": 860})
            await page.goto(f"{address}/requests")
            await page.wait_for_selector(".request")
            told: dict[str, Any] = await page.evaluate(_SCROLL, pages)
        finally:
            await browser.close()
    return Paged(told["took"], told["tasks"], told["most"])


@asynccontextmanager
async def _served(url: str, folder: Path) -> AsyncIterator[str]:
    spool, archive, live = Spool(folder / "paging"), Archive(fixed(url)), Live()
    app = FastAPI()
    pieces = TokenPieces(tokenizer=None)  # the list shows no tokens by themselves
    mount_traces(app, Traces(Observer(spool, live=live), archive, live, spool), pieces)
    mount_page(app, pieces)
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        server = uvicorn.Server(uvicorn.Config(app, lifespan="off", log_level="warning"))
        serving = asyncio.create_task(server.serve([sock]))
        try:
            yield f"http://127.0.0.1:{sock.getsockname()[1]}"
        finally:
            server.should_exit = server.force_exit = True
            await serving
            await archive.close()
            spool.close()
