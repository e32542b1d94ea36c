"""How fast traces are kept and found: writing, listing a million of them, opening a long one.

A Postgres of its own, in a folder that is deleted after. First the made-up traffic of two months
is stored; the rate counts everything from made trace to commit, in token events (tokens of the
stories). Then each named query asks for a page of 50 as `GET /logs` would, with other values
each time, and the slowest twentieth of the answers begins at the p95. The first answers of each
query, from a cold cache, count too. Last: what recording costs the process that generates, how
long after its end a trace can be listed, and how long a trace of 10,000 tokens takes to open.

    python -m bench.traces                     # a million requests, a quarter of an hour
    python -m bench.traces --requests 50000    # a minute
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import shutil
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track
from rich.table import Table

from bench.traffic import ACTIONS, CALLERS, MODELS, MODS, TAGS, WORDS, Traffic
from server.postgres.embedded import EmbeddedPostgres
from server.traces.database import Database
from server.traces.destinations import PostgresDestination
from server.traces.search import Filters, Search, encode_cursor
from server.traces.shipper import Shipper
from server.traces.spool import Spool
from server.traces.store import Store
from server.traces.trace import Trace

DAYS = 60
PAGE = 50
LIMIT_MS = 200.0

Asking = Callable[[Search], Awaitable[Any]]
"""Asks a search for one page."""
Making = Callable[["Inquirer"], Asking]


class Inquirer:
    """Values to ask for: as often a common one as a rare one."""

    def __init__(self, end: datetime, seed: int = 2) -> None:
        self._random = random.Random(seed)
        self.end = end

    def one_of(self, names: list[str]) -> str:
        common = self._random.random() < 0.5
        return self._random.choice(names[: max(1, len(names) // 10)] if common else names)

    def time(self) -> datetime:
        return self.end - timedelta(days=DAYS * self._random.random())

    def number(self, low: float, high: float) -> float:
        return self._random.uniform(low, high)


def listing(sort: str = "newest", **filters: Any) -> Asking:
    return lambda search: search.page(Filters(**filters), sort=sort, limit=PAGE)


def from_the_middle(sort: str, key: Any) -> Asking:
    """A page that begins at a sort key, as the cursor of a page far behind the first does."""
    cursor = encode_cursor(key, sort)
    return lambda search: search.page(Filters(), sort=sort, limit=PAGE, cursor=cursor)


class Behind:
    """What a cursor needs of the last trace of a page."""

    def __init__(self, **key: Any) -> None:
        self.__dict__.update(key, request_id="")


QUERIES: dict[str, Making] = {
    "newest": lambda ask: listing(),
    "a day": lambda ask: listing(since=(start := ask.time()), until=start + timedelta(days=1)),
    "model": lambda ask: listing(model=ask.one_of(MODELS)),
    "mod": lambda ask: listing(mod=ask.one_of(MODS)),
    "action": lambda ask: listing(action=ask.one_of(ACTIONS)),
    "status": lambda ask: listing(status="failed"),
    "caller": lambda ask: listing(caller=ask.one_of(CALLERS)),
    "tag": lambda ask: listing(tag=ask.one_of(TAGS)),
    "text": lambda ask: listing(text=ask.one_of(WORDS)),
    "text, two words": lambda ask: listing(text=f"{ask.one_of(WORDS)} {ask.one_of(WORDS)}"),
    "latency": lambda ask: listing(min_latency=ask.number(0, 5)),
    "tokens": lambda ask: listing(min_tokens=(n := int(ask.number(0, 300))), max_tokens=n + 5),
    "deep, by time": lambda ask: from_the_middle("newest", Behind(created_at=ask.time())),
    "deep, by latency": lambda ask: from_the_middle("slowest", Behind(latency=ask.number(0, 9))),
    "slowest": lambda ask: listing("slowest"),
    "longest": lambda ask: listing("longest"),
    "slowest of a mod": lambda ask: listing("slowest", mod=ask.one_of(MODS)),
    "failed, of a caller": lambda ask: listing(status="failed", caller=ask.one_of(CALLERS)),
    "of a mod, a week": lambda ask: listing(
        mod=ask.one_of(MODS), since=(start := ask.time()), until=start + timedelta(days=7)
    ),
}


async def fill(store: Store, requests: int, end: datetime) -> dict[str, float]:
    """Store the traffic. Returns requests and token events a second."""
    tokens, began = 0, time.monotonic()
    traces = Traffic().traces(requests, end, DAYS)
    for _ in track(range(-(-requests // 500)), "storing", console=Console(stderr=True)):
        batch = list(islice(traces, 500))
        await store.write(batch)
        tokens += sum(len(trace.story) for trace in batch)
    took = time.monotonic() - began
    return {"requests_per_s": requests / took, "token_events_per_s": tokens / took}


async def ask(search: Search, end: datetime, times: int) -> dict[str, dict[str, float]]:
    """Milliseconds of each query: p50 and p95."""
    found = {}
    for name, making in QUERIES.items():
        inquirer, took = Inquirer(end), []
        for _ in range(times):
            asking = making(inquirer)
            began = time.monotonic()
            await asking(search)
            took.append(1000 * (time.monotonic() - began))
        found[name] = {"p50": statistics.median(took), "p95": percentile(took, 95)}
    return found


async def follow(url: str, database: Database, folder: Path, seconds: float) -> dict[str, float]:
    """Spool and ship at 2,000 token events a second; time from a trace's end to its listing."""

    async def address() -> str:
        return url

    spool = Spool(folder / "spool")
    shipper = Shipper(folder / "spool", PostgresDestination(address))
    shipping = asyncio.create_task(shipper.run())
    search = Search(database)
    ended: dict[str, float] = {}
    listed: list[float] = []
    cost = 0.0
    tokens = 0
    done = time.monotonic() + seconds
    traces = Traffic(3).traces(10**9, datetime.now(UTC), 0.001)
    while time.monotonic() < done or (ended and time.monotonic() < done + 10):
        if time.monotonic() < done:
            trace = next(traces)
            tokens += len(trace.story)
            began = time.process_time()
            spool.append(trace)
            cost += time.process_time() - began
            ended[trace.request.request_id] = time.monotonic()
        page = await search.page(Filters(), limit=200)
        for line in page.traces:
            if (end := ended.pop(line.request_id, None)) is not None:
                listed.append(time.monotonic() - end)
        await asyncio.sleep(0.012)
    shipper.stop()
    await shipping
    spool.close()
    return {"visible_p95_s": percentile(listed, 95), "append_us_per_token": 1e6 * cost / tokens}


async def open_long(store: Store) -> float:
    """Seconds to read a trace of 10,000 tokens whole, and to write it as JSON."""
    trace: Trace = next(iter(Traffic().traces(1, datetime.now(UTC), 1)))
    for step in range(len(trace.story), 10_000):
        trace.story.sampled(step, step, step, 0.5)
    trace.story.forward_passes = 10_000
    await store.write([trace])
    began = time.monotonic()
    (await store.read(trace.request.request_id)).trace.record().to_json()
    return time.monotonic() - began


def percentile(values: list[float], percent: int) -> float:
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


async def measure(requests: int, times: int, home: Path) -> dict[str, Any]:
    postgres = EmbeddedPostgres(home)
    url = postgres.start()
    try:
        database = await Database.open(url)
        store, end = Store(database), datetime.now(UTC)
        result: dict[str, Any] = {"requests": requests, "writing": await fill(store, requests, end)}
        async with database.connection() as connection:
            await connection.execute("vacuum analyze", timeout=600)
            result["bytes"] = await connection.fetchval(
                "select pg_database_size(current_database())"
            )
        result["queries_ms"] = await ask(Search(database), end, times)
        result["open_10000_s"] = await open_long(store)
        result["following"] = await follow(url, database, home, 10)
        await database.close()
    finally:
        postgres.stop()
    return result


def show(result: dict[str, Any], console: Console) -> None:
    table = Table("query", "p50 ms", "p95 ms", "", title=f"{result['requests']:,} requests")
    for name, took in result["queries_ms"].items():
        verdict = "" if took["p95"] <= LIMIT_MS else f"over {LIMIT_MS:.0f}"
        table.add_row(name, f"{took['p50']:.1f}", f"{took['p95']:.1f}", verdict)
    console.print(table)
    for name in ("writing", "following"):
        for what, value in result[name].items():
            console.print(f"{what:<24}{value:,.2f}")
    console.print(f"{'open_10000_s':<24}{result['open_10000_s']:.2f}")
    console.print(f"{'megabytes':<24}{result['bytes'] / 1e6:,.0f}")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.traces", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--requests", type=int, default=1_000_000)
    parser.add_argument("--times", type=int, default=40, help="how often each query is asked")
    given = parser.parse_args()
    home = Path(tempfile.mkdtemp(prefix="concordance-bench-"))
    home.chmod(0o755)
    try:
        result = asyncio.run(measure(given.requests, given.times, home))
    finally:
        shutil.rmtree(home, ignore_errors=True)
    show(result, Console())
    print(json.dumps(result))


if __name__ == "__main__":
    main()
