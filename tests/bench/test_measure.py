"""The arithmetic of the measures, on numbers whose answers are known."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.compare import Comparison, cost, speed
from bench.load import counter
from bench.measure import Block, bootstrap, ratio_of, tree_seconds


def process(proc: Path, pid: int, parent: int, ticks: tuple[int, int, int, int], name: str) -> None:
    """A line of `/proc/PID/stat` as the kernel writes it, as far as the field after cstime."""
    between = "S {} 1 1 0 -1 4194304 9 9 9 9 {} {} {} {} 20".format(parent, *ticks)
    (proc / str(pid)).mkdir()
    (proc / str(pid) / "stat").write_text(f"{pid} ({name}) {between}\n")


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    """Server 10 with a worker 11 and its child 12; 20 and 21 are somebody else's."""
    process(tmp_path, 1, 0, (1000, 1000, 0, 0), "init")
    process(tmp_path, 10, 1, (100, 50, 0, 0), "concai")
    process(tmp_path, 11, 10, (30, 20, 7, 3), "VLLM::Worker (TP 0)")
    process(tmp_path, 12, 11, (5, 5, 0, 0), "a) S 1 9 9 (b")
    process(tmp_path, 20, 1, (400, 400, 0, 0), "neighbour")
    process(tmp_path, 21, 20, (400, 400, 0, 0), "neighbour")
    return tmp_path


def test_a_tree_s_time_is_that_of_the_root_and_all_descendants(proc: Path) -> None:
    assert tree_seconds(10, proc, per_second=100) == pytest.approx(2.2)


def test_a_subtree_leaves_its_parents_out(proc: Path) -> None:
    assert tree_seconds(11, proc, per_second=100) == pytest.approx(0.7)


def test_a_child_that_was_waited_for_goes_on_counting(proc: Path) -> None:
    before = tree_seconds(10, proc, per_second=100)
    (proc / "12" / "stat").unlink()
    (proc / "11" / "stat").unlink()
    (proc / "11").rmdir()
    process(proc, 11, 10, (30, 20, 12, 8), "VLLM::Worker (TP 0)")
    assert tree_seconds(10, proc, per_second=100) == pytest.approx(before)


def test_the_time_of_a_root_that_is_gone_is_nothing(proc: Path) -> None:
    assert tree_seconds(99, proc) == 0


def test_the_ratio_is_the_second_over_the_first_and_its_median_ignores_an_outlier() -> None:
    found = ratio_of([(10, 5), (100, 49), (10, 5.1), (10, 5), (1, 40)])
    assert found.median == pytest.approx(0.5)


def test_the_interval_holds_the_median_and_stays_within_the_values() -> None:
    found = ratio_of([(1, value) for value in (0.9, 0.95, 1.0, 1.02, 1.05, 1.1, 1.3)])
    assert 0.9 <= found.low < found.median < found.high <= 1.3


def test_equal_rounds_leave_no_interval() -> None:
    assert bootstrap([1.5] * 7) == (1.5, 1.5)


def test_the_interval_is_the_same_every_time_and_narrows_with_rounds() -> None:
    values = [0.9, 0.95, 1.0, 1.05, 1.1]
    low, high = bootstrap(values)
    assert (low, high) == bootstrap(values)
    narrow_low, narrow_high = bootstrap(values * 20)
    assert narrow_high - narrow_low < high - low


def test_blocks_add_up_and_their_values_are_per_token_returned() -> None:
    both = Block(100, 120, 0.5, 0.25, 3, 1) + Block(300, 360, 1.5, 0.5, 4, 0)
    assert both == Block(400, 480, 2.0, 0.75, 7, 1)
    assert both.tokens_per_second == 200
    assert both.microseconds_per_token == pytest.approx(1875)


def test_a_comparison_takes_its_ratios_by_rounds() -> None:
    rounds = [(Block(64, 64, 1, 1), Block(64, 80, 2, 1.5, 5, 1)) for _ in range(3)]
    found = Comparison(16, "undoes", rounds)
    assert found.ratio(speed).median == 0.5
    assert found.ratio(cost).median == 1.5
    told = found.as_json()
    assert told["tokens_per_second"]["ratio"] == {"median": 0.5, "low": 0.5, "high": 0.5}
    assert (told["core_us_per_token"]["without"], told["core_us_per_token"]["with"]) == (
        15625,
        23437.5,
    )
    assert told["drawn_per_token"] == 1.25
    assert (told["segments"], told["late_segments"]) == (15, 3)


def test_a_counter_is_the_sum_of_its_samples_alone() -> None:
    text = '# TYPE a_total counter\na_total{x="1"} 2.0\na_total{x="2"} 3.0\na_total_more 9.0\n'
    assert counter(text, "a_total") == 5
    with pytest.raises(RuntimeError, match="no b_total"):
        counter(text, "b_total")
