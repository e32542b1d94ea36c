"""Statistics by the hour: counted when traces are stored, asked for without reading any.

A histogram has 96 buckets, four to an octave, so that a percentile is right within a tenth.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from server.traces.database import Database
from server.traces.queries import queries
from server.traces.rows import escaped, plain, token_counts
from server.traces.story import NOBODY, SAMPLED, STAYED
from server.traces.trace import Trace
from server.traces.windows import FIRST

BUCKETS = 96
PER_OCTAVE = 4
PERCENTILES = (50, 95, 99)


def bucket_of(value: float) -> int:
    """Where a value of 1 or more is counted; smaller ones count as 1."""
    return min(BUCKETS - 1, int(math.log2(value) * PER_OCTAVE)) if value > 1 else 0


def percentile(histogram: Sequence[int], percent: float) -> float | None:
    """The middle of the bucket in which it lies, None if nothing was counted."""
    rank, seen = max(1.0, sum(histogram) * percent / 100), 0
    for bucket, count in enumerate(histogram):
        seen += count
        if count and seen >= rank:
            return float(2 ** ((bucket + 0.5) / PER_OCTAVE))
    return None


def _histogram() -> list[int]:
    return [0] * BUCKETS


@dataclass
class _Requests:
    requests: int = 0
    sampled: int = 0
    forced: int = 0
    erased: int = 0
    latencies: list[int] = field(default_factory=_histogram)


@dataclass
class _Mod:
    requests: int = 0
    calls: int = 0
    failures: int = 0
    forced: int = 0
    erased: int = 0
    durations: list[int] = field(default_factory=_histogram)


class Tallies:
    """What a batch of traces adds."""

    def __init__(self, traces: Iterable[Trace]) -> None:
        self._requests: dict[tuple[Any, ...], _Requests] = defaultdict(_Requests)
        self._mods: dict[tuple[Any, ...], _Mod] = defaultdict(_Mod)
        self._actions: dict[tuple[Any, ...], list[int]] = defaultdict(lambda: [0, 0])
        for trace in traces:
            self._count(trace)

    async def add(self, connection: Any) -> None:
        """Add to what is there. In one order always, so that two writers cannot deadlock."""
        for name, rows in (
            ("tally_requests", _rows(self._requests)),
            ("tally_mods", _rows(self._mods)),
            ("tally_actions", [(*key, *counts) for key, counts in sorted(self._actions.items())]),
        ):
            if rows:
                await connection.executemany(queries()[name], rows)

    def _count(self, trace: Trace) -> None:
        request = trace.request
        key = (_hour(request.created_at), escaped(request.caller))
        tally = self._requests[*key, escaped(request.model), request.status]
        _, _, sampled, forced, erased = token_counts(trace)
        tally.requests += 1
        tally.sampled, tally.forced = tally.sampled + sampled, tally.forced + forced
        tally.erased += erased
        if request.latency is not None:
            tally.latencies[bucket_of(request.latency * 1000)] += 1
        self._count_mods(trace, key)
        for action in trace.actions:
            counts = self._actions[*key, escaped(action.mod_name), escaped(action.action_type)]
            counts[action.overridden] += 1

    def _count_mods(self, trace: Trace, key: tuple[Any, ...]) -> None:
        mods = [self._mods[*key, escaped(mod.name)] for mod in trace.request.mods]
        for mod in {id(mod): mod for mod in mods}.values():
            mod.requests += 1
        for place, micros in zip(trace.calls.mods, trace.calls.micros, strict=True):
            mods[place].calls += 1
            if micros is not None:
                mods[place].durations[bucket_of(micros)] += 1
        for failure in trace.failures:
            mods[trace.calls.mods[failure.call]].failures += 1
        story = trace.story
        for place, origin in zip(story.mods, story.origins, strict=True):
            if origin != SAMPLED and place != NOBODY:
                mods[place].forced += 1
        erasers = _erasers(trace)
        for event in story.erased:
            if event != STAYED and event in erasers:
                mods[erasers[event]].erased += 1


def _erasers(trace: Trace) -> dict[int, int]:
    """Event number to the mod whose answer had an effect on the output."""
    calls = trace.calls
    return {
        calls.events[action.mod_call_sequence]: calls.mods[action.mod_call_sequence]
        for action in trace.actions
        if not action.overridden and action.mod_call_sequence is not None
    }


def _rows(tallies: dict[tuple[Any, ...], Any]) -> list[tuple[Any, ...]]:
    return [(*key, *vars(tally).values()) for key, tally in sorted(tallies.items())]


@dataclass(frozen=True)
class ModStatistics:
    """One mod. durations: milliseconds of a call, by percentile; None if none was measured."""

    mod: str
    requests: int
    calls: int
    failures: int
    forced_tokens: int
    erased_tokens: int
    durations: dict[int, float | None]


@dataclass(frozen=True)
class ActionStatistics:
    mod: str
    action: str
    taken: int
    overridden: int


@dataclass(frozen=True)
class RequestStatistics:
    """One span of time. latencies: seconds of a request, by percentile."""

    start: datetime
    requests: int
    failed: int
    aborted: int
    sampled_tokens: int
    forced_tokens: int
    erased_tokens: int
    latencies: dict[int, float | None]


class Statistics:
    """What the hours from `since` to before `until` say; both are rounded down to the hour.

    caller: whose requests; None for everybody's. Deleting a trace does not change what was counted.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def mods(
        self, since: datetime, until: datetime, caller: str | None = None
    ) -> list[ModStatistics]:
        """By mod, in the order of their names."""
        rows = await self._rows("mod_statistics", since, until, caller)
        return [
            ModStatistics(**{**row, "durations": _percentiles(row["durations"], 1 / 1000)})
            for row in rows
        ]

    async def actions(
        self, since: datetime, until: datetime, caller: str | None = None
    ) -> list[ActionStatistics]:
        """By mod and kind of action."""
        rows = await self._rows("action_statistics", since, until, caller)
        return [ActionStatistics(**row) for row in rows]

    async def requests(
        self,
        since: datetime,
        until: datetime,
        caller: str | None = None,
        *,
        model: str | None = None,
        span: timedelta = timedelta(hours=1),
    ) -> list[RequestStatistics]:
        """Over time: an item for each span, a whole number of hours, that has any request."""
        rows = await self._rows("request_statistics", since, until, caller, span, model)
        return [
            RequestStatistics(**{**row, "latencies": _percentiles(row["latencies"], 1 / 1000)})
            for row in rows
        ]

    async def _rows(
        self, query: str, since: datetime, until: datetime, *values: Any
    ) -> list[dict[str, Any]]:
        """Names as they were before Postgres."""
        given = [escaped(value) if isinstance(value, str) else value for value in values]
        rows = await self._database.fetch(query, _hour(since), _hour(until), *given)
        return [
            {name: plain(cell) if isinstance(cell, str) else cell for name, cell in row.items()}
            for row in rows
        ]


def _percentiles(histogram: Sequence[int], unit: float) -> dict[int, float | None]:
    found = {percent: percentile(histogram, percent) for percent in PERCENTILES}
    return {percent: None if value is None else value * unit for percent, value in found.items()}


def _hour(time: datetime) -> datetime:
    """Rounded down. The first of all counts as the second: asyncpg writes it as -infinity, and
    from that Postgres counts no spans."""
    hour = time.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    return max(hour, FIRST + timedelta(hours=1))
