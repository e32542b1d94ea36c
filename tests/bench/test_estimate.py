"""Medians, ratios and their intervals, on numbers whose answers are known."""

from __future__ import annotations

import pytest

from bench.estimate import Estimate, bootstrap, mean_of, median_of, medians, percentile_of, ratio_of


def test_the_ratio_is_the_second_over_the_first_and_its_median_ignores_an_outlier() -> None:
    found = ratio_of([(10, 5), (100, 49), (10, 5.1), (10, 5), (1, 40)])
    assert found.value == pytest.approx(0.5)


def test_the_interval_holds_the_median_and_stays_within_the_values() -> None:
    found = median_of([0.9, 0.95, 1.0, 1.02, 1.05, 1.1, 1.3])
    assert 0.9 <= found.low < found.value < found.high <= 1.3


def test_a_mean_counts_every_case() -> None:
    found = mean_of([1.0, 1.0, 4.0])
    assert found.value == 2
    assert found.low == 1
    assert found.high == 4


def test_equal_rounds_leave_no_interval() -> None:
    assert bootstrap([1.5] * 7, medians) == (1.5, 1.5)


def test_the_interval_is_the_same_every_time_and_narrows_with_rounds() -> None:
    values = [0.9, 0.95, 1.0, 1.05, 1.1]
    low, high = bootstrap(values, medians)
    assert (low, high) == bootstrap(values, medians)
    narrow_low, narrow_high = bootstrap(values * 20, medians)
    assert narrow_high - narrow_low < high - low


def test_an_estimate_is_written_with_four_digits() -> None:
    written = Estimate(1.000049, 0.5, 2.0).as_json()
    assert written == {"value": 1.0, "low": 0.5, "high": 2.0}


def test_a_percentile_lies_where_so_many_are_below_it() -> None:
    found = percentile_of([float(n) for n in range(101)], 95)
    assert found.value == 95
    assert 80 < found.low <= 95 <= found.high <= 100
