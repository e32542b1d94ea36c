"""What people ask a large store of traces for, by name: each filter, words, deep pages, each sort.

Each time with other values: as often common ones, of which there is much, as rare ones, which
lie far apart.
"""

from __future__ import annotations

import random
import time
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

from bench.traffic import ACTIONS, CALLERS, FAVOURERS, MODELS, MODS, TAGS, WORDS, companion
from server.traces.search import SORTS, Filters, Search, encode_cursor

PAGE = 50
"""Traces that a page has."""

Asking = Callable[[Search], Awaitable[Any]]
"""Asks for one page."""


class Inquirer:
    """Draws values to ask for, the same in every run. The store has `days` days before `end`.

    parents: ids of traces that were replayed.
    """

    def __init__(self, end: datetime, days: float, parents: list[str], seed: int = 2) -> None:
        self._random = random.Random(seed)
        self.end, self.days, self.parents = end, days, parents

    def one_of(self, names: list[str]) -> str:
        """One of the first tenth, which is common, or any."""
        common = self._random.random() < 0.5
        return self._random.choice(names[: max(1, len(names) // 10)] if common else names)

    def moment(self) -> datetime:
        return self.end - timedelta(days=self.days * self._random.random())

    def number(self, low: float, high: float) -> float:
        return self._random.uniform(low, high)


def listing(sort: str = "newest", **filters: Any) -> Asking:
    """The first page."""
    return lambda search: search.page(Filters(**filters), sort=sort, limit=PAGE)


def behind(key: Any, sort: str = "newest", **filters: Any) -> Asking:
    """A page that begins at a sort key, as the cursor of a page far behind the first does."""
    last: Any = SimpleNamespace(**{SORTS[sort].key: key, "request_id": ""})
    cursor = encode_cursor(last, sort)
    return lambda search: search.page(Filters(**filters), sort=sort, limit=PAGE, cursor=cursor)


QUESTIONS: dict[str, Callable[[Inquirer], Asking]] = {
    "newest": lambda ask: listing(),
    "time": lambda ask: listing(since=(start := ask.moment()), until=start + timedelta(days=1)),
    "model": lambda ask: listing(model=ask.one_of(MODELS)),
    "mod": lambda ask: listing(mod=ask.one_of(MODS)),
    "action": lambda ask: listing(action=ask.one_of(ACTIONS)),
    "status": lambda ask: listing(status=ask.one_of(["failed", "aborted"])),
    "caller": lambda ask: listing(caller=ask.one_of(CALLERS)),
    "tag": lambda ask: listing(tag=ask.one_of(TAGS)),
    "favourite": lambda ask: listing(favourite_of=ask.one_of(FAVOURERS)),
    "replays": lambda ask: listing(parent_id=ask.one_of(ask.parents)),
    "latency": lambda ask: listing(min_latency=(s := ask.number(0, 20)), max_latency=s + 1),
    "tokens": lambda ask: listing(min_tokens=(n := int(ask.number(0, 600))), max_tokens=n + 5),
    "text": lambda ask: listing(text=ask.one_of(WORDS)),
    "text, two words": lambda ask: listing(text=f"{ask.one_of(WORDS)} {ask.one_of(WORDS)}"),
    "text, a phrase": lambda ask: listing(
        text=f'"{(word := ask.one_of(WORDS[:1000]))} {companion(word)}"'
    ),
    "text, a chance phrase": lambda ask: listing(text=f'"{WORDS[0]} {ask.one_of(WORDS[:1000])}"'),
    "oldest": lambda ask: listing("oldest"),
    "slowest": lambda ask: listing("slowest"),
    "longest": lambda ask: listing("longest"),
    "fastest": lambda ask: listing("fastest"),
    "shortest": lambda ask: listing("shortest"),
    "slowest of a mod": lambda ask: listing("slowest", mod=ask.one_of(MODS)),
    "slowest with a word": lambda ask: listing("slowest", text=ask.one_of(WORDS)),
    "deep, by time": lambda ask: behind(ask.moment()),
    "deep, by latency": lambda ask: behind(ask.number(0, 9), "slowest"),
    "deep, of a mod": lambda ask: behind(ask.moment(), mod=ask.one_of(MODS)),
    "deep, with a word": lambda ask: behind(ask.moment(), text=ask.one_of(WORDS)),
    "failed, of a caller": lambda ask: listing(status="failed", caller=ask.one_of(CALLERS)),
}
"""Each draws its values and gives the asking."""


async def milliseconds(search: Search, inquirer: Inquirer, name: str, times: int) -> list[float]:
    """How long each asking took, those with a cold cache too."""
    took = []
    for _ in range(times):
        asking = QUESTIONS[name](inquirer)
        began = time.monotonic()
        await asking(search)
        took.append(1000 * (time.monotonic() - began))
    return took
