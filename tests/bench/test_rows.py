"""The rows as they are declared, and the arithmetic of single families."""

from __future__ import annotations

import pytest

from bench.answer import Answer, Ask, Event
from bench.causes import CAUSES
from bench.mods import RUN_AT
from bench.row import at_least, at_most
from bench.rows import FAMILIES, ROWS, backtracks, forced, load_generator

BY_NAME = {row.name: row for row in ROWS}


def stream(*events: Event) -> Answer:
    return Answer(Ask([1], 8, "m", watched=True), [*events], {"completion_tokens": 8}, 9.0)


def test_every_row_has_a_name_of_its_own_and_most_a_server() -> None:
    assert len(BY_NAME) == len(ROWS) == sum(len(family.ROWS) for family in FAMILIES)
    serverless = [
        *("hot-path", "mask-131k"),
        *("traces-writer", "traces-visible", "million", "million-open"),
        "million-page",
    ]
    assert [row.name for row in ROWS if not row.programs] == serverless


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("stock-1", at_least(0.98)),
        ("stock-16", at_least(0.98)),
        ("stock-64", at_least(0.98)),
        ("branches-16", at_most(1.04)),
        ("strategy-choices", at_most(1.05)),
        ("strategy-chars", at_most(1.05)),
        ("strategy-list", at_most(1.05)),
        ("hot-path", None),
        ("mask-131k", at_most(50)),
        ("schemas-16", at_least(0.95)),
        ("schema-latency-16", at_least(1.0)),
        ("schema-jumps-16", at_least(1.25)),
        ("schema-first", at_most(1.3)),
        ("neighbours", at_most(1.03)),
        ("branches-demo", None),
        ("forced-64", at_least(5)),
        ("forced-256", None),
        ("backtrack-512", at_most(3)),
        ("backtrack-1800-busy", at_most(3)),
        ("backtrack-queued", None),
        ("reference-loop", at_least(3)),
        ("generate", None),
        ("vllm-load", None),
        ("traces-tokens", at_least(0.97)),
        ("traces-full", at_least(0.93)),
        ("traces-demo", None),
        ("traces-writer", at_least(20_000)),
        ("traces-visible", at_most(1)),
        ("million", at_most(200)),
        ("million-open", at_most(1)),
        ("million-page", at_most(50)),
    ],
)
def test_what_was_promised_is_what_is_held_against_a_row(name: str, target: object) -> None:
    assert BY_NAME[name].target == target


def test_a_bound_is_met_at_the_bound_and_not_beyond() -> None:
    assert at_least(5).met(5)
    assert not at_least(5).met(4.99)
    assert at_most(3).met(3)
    assert not at_most(3).met(3.01)


def test_causes_are_written_for_rows_that_are_there() -> None:
    assert CAUSES.keys() <= BY_NAME.keys()


def test_a_run_lasts_from_the_token_before_it_to_the_one_after_it() -> None:
    before = [Event(0.1 * n, [n]) for n in range(1, RUN_AT + 1)]
    together = stream(*before, Event(1.0, [50, 51, 52, 53]), Event(1.2, [9]), Event(1.3, [9]))
    assert forced.run_seconds(together, 4) == pytest.approx(0.4)
    in_one = stream(*before, Event(1.1, [50, 51, 52, 53, 9]))
    assert forced.run_seconds(in_one, 4) == pytest.approx(0.3)


def test_an_answer_that_is_too_short_has_no_run() -> None:
    with pytest.raises(RuntimeError, match="no run of 4"):
        forced.run_seconds(stream(Event(0.1, [1])), 4)


def test_a_backtrack_is_counted_in_steps_of_the_same_stream() -> None:
    times = [0.0, 1.0, 2.0, 5.0, 6.0, 10.0, 11.0]
    removed = [0, 0, 0, 16, 0, 16, 0]
    answer = stream(*(Event(t, [1], n) for t, n in zip(times, removed, strict=True)))
    found = backtracks.finding(answer, times=2)
    assert found.estimate.value == pytest.approx(3.5)
    assert found.floor is not None
    assert found.floor.value == pytest.approx(1)
    assert (found.facts["steps_least"], found.facts["steps_most"]) == (3, 4)


def test_a_mod_that_took_back_too_seldom_is_no_measurement() -> None:
    with pytest.raises(RuntimeError, match="expected 2 places"):
        backtracks.finding(stream(Event(0, [1]), Event(1, [1]), Event(2, [1], 16)), times=2)


def test_each_run_of_the_load_generator_has_prompts_of_its_own() -> None:
    one, other = (load_generator.options("http://x", 8, seed) for seed in (1, 2))
    assert [a for a, b in zip(one, other, strict=True) if a != b] == ["1"]
