"""Windows of a list by time: they leave nothing out, take no day twice, and come to an end."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.traces.windows import DAY, FIRST, LARGEST, LAST, Window, Windows

NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)
MIDNIGHT = datetime(2026, 3, 10, tzinfo=UTC)


def walk(windows: Windows, each: int = 0, wanted: int = 51) -> list[Window]:
    """All of them, if each has so many matches."""
    taken: list[Window] = []
    while window := windows.next(each * len(taken), wanted):
        taken.append(window)
        assert len(taken) < 5000
    return taken


def test_the_first_window_is_a_day_and_later_ones_grow_while_nothing_is_found() -> None:
    taken = walk(Windows(NOON, None, None, back=True))
    assert taken[0] == (MIDNIGHT, None)
    assert taken[1] == (MIDNIGHT - 2 * DAY, MIDNIGHT)
    assert taken[2] == (MIDNIGHT - 6 * DAY, MIDNIGHT - 2 * DAY)
    assert taken[-1][0] is None


def test_where_a_day_brings_half_of_what_is_wanted_the_next_is_a_day_again() -> None:
    windows = Windows(NOON, None, None, back=True)
    windows.next(0, 50)
    assert windows.next(25, 50) == (MIDNIGHT - DAY, MIDNIGHT)


def test_forward_begins_with_the_day_of_the_start() -> None:
    taken = walk(Windows(NOON, None, None, back=False))
    assert taken[0] == (None, MIDNIGHT + DAY)
    assert taken[1] == (MIDNIGHT + DAY, MIDNIGHT + 3 * DAY)
    assert taken[-1][1] is None


def test_bounds_are_kept_to_the_microsecond() -> None:
    since, until = NOON - 3 * DAY, NOON
    taken = walk(Windows(NOON, since, until, back=True))
    assert (taken[-1][0], taken[0][1]) == (since, until)


@given(
    back=st.booleans(),
    since=st.none() | st.integers(0, 900),
    until=st.none() | st.integers(0, 900),
    start=st.integers(0, 900),
    each=st.integers(0, 3),
)
@settings(max_examples=100, deadline=None)
def test_windows_follow_each_other_and_leave_nothing_out(
    back: bool, since: int | None, until: int | None, start: int, each: int
) -> None:
    lower = None if since is None else NOON - timedelta(hours=7 * since)
    upper = None if until is None else NOON - timedelta(hours=7 * until)
    if lower and upper and lower > upper:
        lower, upper = upper, lower
    taken = walk(Windows(NOON - timedelta(hours=7 * start), lower, upper, back=back), each)
    in_time = taken[::-1] if back else taken
    assert in_time[0][0] == lower
    assert in_time[-1][1] == upper
    for earlier, later in pairwise(in_time):
        assert earlier[1] == later[0] is not None


@pytest.mark.parametrize("back", [True, False])
@pytest.mark.parametrize("start", [FIRST, FIRST + 3 * DAY, LAST - 3 * DAY, LAST])
def test_where_time_ends_windows_end(start: datetime, back: bool) -> None:
    taken = walk(Windows(start, None, None, back=back))
    in_time = taken[::-1] if back else taken
    assert (in_time[0][0], in_time[-1][1]) == (None, None)
    for earlier, later in pairwise(in_time):
        assert earlier[1] == later[0] is not None
    assert len(taken) < 3 + LARGEST.bit_length()


@pytest.mark.parametrize("back", [True, False])
def test_where_little_is_found_the_end_comes_soon(back: bool) -> None:
    windows = Windows(NOON, None, None, back=back)
    count = 0
    while windows.next(50 if count else 0, 51):
        count += 1
    assert count < 3 + LARGEST.bit_length()
