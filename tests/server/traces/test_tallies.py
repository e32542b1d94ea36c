"""Statistics: what was stored is counted, once, and percentiles are near the truth."""

from __future__ import annotations

import statistics
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.traces.database import Database
from server.traces.record import Error
from server.traces.store import Store
from server.traces.tallies import BUCKETS, Statistics, bucket_of, percentile
from tests.server.traces.making import made, modded
from tests.server.traces.records import patient

HOUR = datetime(2026, 3, 1, 10, tzinfo=UTC)
LATER = HOUR + timedelta(days=1)


@patient
@given(st.lists(st.floats(1, 2**23), min_size=1, max_size=50))
def test_a_percentile_is_right_within_a_tenth(values: list[float]) -> None:
    histogram = [0] * BUCKETS
    for value in values:
        histogram[bucket_of(value)] += 1
    middle = percentile(histogram, 50)
    assert middle is not None
    assert middle / statistics.median_low(values) == pytest.approx(1, abs=0.1)


def test_of_nothing_there_is_no_percentile() -> None:
    assert percentile([0] * BUCKETS, 50) is None


@pytest.mark.parametrize(("value", "bucket"), [(0, 0), (0.5, 0), (1, 0), (2, 4), (1e300, 95)])
def test_any_value_has_a_bucket(value: float, bucket: int) -> None:
    assert bucket_of(value) == bucket


@pytest.fixture
async def counted(store: Store, database: Database) -> Statistics:
    traces = [modded(f"m{n}", created_at=HOUR + timedelta(minutes=n)) for n in range(10)]
    traces.append(made("f", created_at=HOUR + timedelta(hours=1), error=Error("broken")))
    traces.append(made("a", created_at=HOUR + timedelta(hours=5), finish_reason="abort"))
    traces.append(made("b", created_at=HOUR, caller="bob", model="other"))
    await store.write(traces)
    await store.write(traces)
    return Statistics(database)


async def test_a_mod_s_calls_failures_and_tokens_are_counted(counted: Statistics) -> None:
    (calm,) = await counted.mods(HOUR, LATER)
    assert (calm.mod, calm.requests, calm.calls, calm.failures) == ("calm", 10, 70, 10)
    assert (calm.forced_tokens, calm.erased_tokens) == (20, 10)
    assert calm.durations[50] == pytest.approx(0.040, rel=0.1)
    assert calm.durations[99] == pytest.approx(0.070, rel=0.1)


async def test_actions_are_counted_by_mod_and_kind(counted: Statistics) -> None:
    found = [(a.mod, a.action, a.taken, a.overridden) for a in await counted.actions(HOUR, LATER)]
    assert found == [("calm", "backtrack", 10, 0), ("calm", "force_tokens", 0, 10)]


async def test_requests_are_counted_over_time(counted: Statistics) -> None:
    hours = await counted.requests(HOUR, LATER)
    assert [(h.start, h.requests, h.failed, h.aborted) for h in hours] == [
        (HOUR, 11, 0, 0),
        (HOUR + timedelta(hours=1), 1, 1, 0),
        (HOUR + timedelta(hours=5), 1, 0, 1),
    ]
    assert hours[0].latencies[95] == pytest.approx(1.0, rel=0.1)
    assert (hours[0].sampled_tokens, hours[0].forced_tokens) == (13, 20)
    (day,) = await counted.requests(HOUR, LATER, span=timedelta(days=1))
    assert (day.requests, day.erased_tokens) == (13, 10)


async def test_a_caller_sees_its_own(counted: Statistics) -> None:
    assert await counted.mods(HOUR, LATER, "bob") == []
    (hour,) = await counted.requests(HOUR, LATER, "bob")
    assert hour.requests == 1
    assert await counted.requests(HOUR, LATER, "bob", model="demo") == []


async def test_a_time_without_requests_has_no_item(counted: Statistics) -> None:
    assert await counted.requests(LATER, LATER + timedelta(days=1)) == []
