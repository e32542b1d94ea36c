"""How fast traces are kept and found, without an engine: the real spool, writer and Postgres.

The traffic is made up (`bench/traffic.py`): short answers mostly, some 25 tokens in the mean, so
that there are many rows for few tokens. A token event is a token of a story. What is asked of a
million stored requests is in `bench/questions.py`, each question some forty times, and 200 ms hold
for the slowest of them all.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from weakref import WeakKeyDictionary

import numpy as np

from bench.estimate import Estimate, median_of, percentile_of
from bench.paging import PAGES, Paged, paged
from bench.questions import QUESTIONS, Inquirer, milliseconds
from bench.row import Finding, Row, at_least, at_most
from bench.run import Run
from bench.stored import BATCH, DAYS, fill, own_postgres, parents_of, this_moment
from bench.traffic import Traffic
from server.traces.database import Database, fixed
from server.traces.destinations import PostgresDestination
from server.traces.search import Filters, Search
from server.traces.shipper import Shipper
from server.traces.sidecar import Sidecar
from server.traces.spool import Spool
from server.traces.store import Store
from server.traces.trace import Trace

SHIPPED = 2000
"""Traces that are shipped in a round."""
PER_SECOND = 2000
"""Token events a second while it is waited for each to be listed."""
FOLLOWED_SECONDS = 20
LATEST = 30.0
"""Seconds after which a trace that is not listed counts as lost."""
MANY, FEW = 1_000_000, 50_000
"""Stored requests; the latter for a quick look."""
TIMES = 40
LONG = 10_000
"""Tokens of a long trace."""


async def writer_rate(run: Run) -> Finding:
    """Token events a second from segments on disk to their commit."""
    async with own_postgres() as (url, home):
        traces = Traffic().traces(10**9, this_moment(), DAYS)
        run.watch.expect(run.scale.rounds + 1)
        rates, requests = [], []
        shipper = Shipper(home / "spool", PostgresDestination(fixed(url)))
        for _ in range(run.scale.rounds + 1):
            batch = list(islice(traces, run.scale.of(SHIPPED)))
            _spool(batch, home / "spool")
            began = time.monotonic()
            if await shipper.ship_what_is_there() != len(batch):
                raise RuntimeError("not all that was spooled was shipped")
            took = time.monotonic() - began
            rates.append(sum(len(trace.story) for trace in batch) / took)
            requests.append(len(batch) / took)
            run.watch.step()
        await shipper.close()
    # The first connects, migrates, and makes partitions.
    facts = {"requests_per_second": float(np.median(requests[1:])), "first": rates[0]}
    return Finding(median_of(rates[1:]), None, facts)


def _spool(batch: list[Trace], folder: Path) -> None:
    spool = Spool(folder)
    kept = [spool.append(trace) for trace in batch]
    spool.close()
    if not all(one.result(0) for one in kept):
        raise RuntimeError(f"the spool dropped traces: {spool.counts.dropped}")


async def visible(run: Run) -> Finding:
    """Seconds from a trace's end to its place in the list, its writer a process of its own."""
    async with own_postgres() as (url, home), _writer(url, home):
        database = await Database.open(url)
        spool = Spool(home / "spool")
        try:
            await _listed(spool, Search(database), 1.0)  # the writer starts, and makes today
            seconds = await _listed(spool, Search(database), run.scale.of(FOLLOWED_SECONDS))
        finally:
            spool.close()
            await database.close()
    return Finding(
        percentile_of(seconds, 95),
        None,
        {"traces": len(seconds), "p50_s": float(np.median(seconds)), "most_s": max(seconds)},
    )


@asynccontextmanager
async def _writer(url: str, home: Path) -> AsyncIterator[None]:
    writer = Sidecar([], {"CONCORDANCE_HOME": str(home), "DATABASE_URL": url})
    await writer.start()
    try:
        yield
    finally:
        await writer.stop()


async def _listed(spool: Spool, search: Search, duration: float) -> list[float]:
    """Spool at `PER_SECOND` token events a second for so long; when each trace was listed.

    Raises `RuntimeError` if one never is.
    """
    traces = Traffic(time.time_ns()).traces(10**9, this_moment(), 0.001)
    ended: dict[str, float] = {}
    found: list[float] = []
    tokens, began = 0, time.monotonic()
    while True:
        now = time.monotonic()
        while now - began < duration and tokens < PER_SECOND * (now - began):
            trace = next(traces)
            trace.request.created_at = this_moment()
            trace.request.first_token_at = trace.request.completed_at = None
            tokens += len(trace.story)
            spool.append(trace)
            ended[trace.request.request_id] = time.monotonic()
        for line in (await search.page(Filters(), limit=1000)).traces:
            if (at := ended.pop(line.request_id, None)) is not None:
                found.append(time.monotonic() - at)
        if now - began >= duration and not ended:
            return found
        if now - began > duration + LATEST:
            raise RuntimeError(f"{len(ended)} traces were not listed after {LATEST} s")
        await asyncio.sleep(0.02)


@dataclass
class Asked:
    """questions: milliseconds, by name. opened: seconds of each long trace."""

    requests: int
    questions: dict[str, list[float]]
    opened: list[float]
    megabytes: float
    paged: Paged


_asked: WeakKeyDictionary[Run, Asked] = WeakKeyDictionary()
"""Three rows are of one store."""


async def million(run: Run) -> Asked:
    """Store a million requests (in a quick run fewer), ask everything, and open long traces."""
    if run not in _asked:
        _asked[run] = await _ask_all(run, MANY if run.scale.work == 1 else FEW)
    return _asked[run]


async def _ask_all(run: Run, requests: int) -> Asked:
    run.watch.expect(requests // BATCH + len(QUESTIONS) + 1)
    async with own_postgres() as (url, home):
        database = await Database.open(url)
        end = this_moment()
        await fill(database, requests, end, run.watch.step)
        parents, search = await parents_of(database), Search(database)
        questions = {}
        for name in QUESTIONS:
            inquirer = Inquirer(end, DAYS, parents)
            questions[name] = await milliseconds(search, inquirer, name, run.scale.of(TIMES))
            run.watch.step()
        opened = await _open_long(Store(database), end, run.scale.rounds)
        async with database.connection() as connection:
            size = await connection.fetchval("select pg_database_size(current_database())")
        await database.close()
        seen = await paged(url, home, run.scale.of(PAGES))
    return Asked(requests, questions, opened, size / 1e6, seen)


async def _open_long(store: Store, end: datetime, count: int) -> list[float]:
    """Seconds to read traces of `LONG` tokens whole, and to write each as JSON."""
    took = []
    for number, trace in enumerate(Traffic(9).traces(count, end - timedelta(hours=1), 1)):
        story = trace.story
        for step in range(len(story), LONG):
            story.sampled(step, step, 4000 * step, 0.5)
        story.forward_passes = len(story)
        trace.request.request_id = f"long-{number}"
        await store.write([trace])
        began = time.monotonic()
        (await store.read(f"long-{number}")).trace.record().to_json()
        took.append(time.monotonic() - began)
    return took


async def slowest_question(run: Run) -> Finding:
    """The p95 of the question that takes longest."""
    asked = await million(run)
    by_name = {name: percentile_of(took, 95) for name, took in asked.questions.items()}
    worst = max(by_name, key=lambda name: by_name[name].value)
    facts: dict[str, object] = {"slowest": worst, "requests": asked.requests}
    facts["megabytes"] = asked.megabytes
    for name, took in asked.questions.items():
        facts[f"p50 → p95 ms, {name}"] = [float(np.median(took)), by_name[name].value]
    return Finding(by_name[worst], None, facts)


async def opening(run: Run) -> Finding:
    asked = await million(run)
    return Finding(median_of(asked.opened), None, {"most_s": max(asked.opened)})


async def paging(run: Run) -> Finding:
    """The longest task of the browser: below 50 ms it tells none."""
    seen = (await million(run)).paged
    longest = max(seen.tasks, default=0.0)
    facts = {
        "pages": len(seen.pages),
        "p50_ms": float(np.median(seen.pages)),
        "p95_ms": float(np.percentile(seen.pages, 95)),
        "rows_in_the_document": seen.most,
        "tasks_longer_than_50_ms": len(seen.tasks),
    }
    return Finding(Estimate(longest, longest, longest), None, facts)


ROWS = [
    Row(
        "traces-writer",
        "token events/s from the spool to the embedded Postgres",
        (),
        writer_rate,
        at_least(20_000),
        unit="/s",
    ),
    Row(
        "traces-visible",
        "p95 from a trace's end to its place in the list, 2,000 token events/s",
        (),
        visible,
        at_most(1),
        unit="s",
    ),
    Row(
        "million",
        f"p95 of the slowest of {len(QUESTIONS)} queries, a million requests stored",
        (),
        slowest_question,
        at_most(200),
        unit="ms",
    ),
    Row(
        "million-open",
        f"a trace of {LONG:,} tokens opened whole, beside them",
        (),
        opening,
        at_most(1),
        unit="s",
    ),
    Row(
        "million-page",
        f"the longest task of a browser that scrolls through {PAGES} pages of them",
        (),
        paging,
        at_most(50),
        unit="ms",
    ),
]
