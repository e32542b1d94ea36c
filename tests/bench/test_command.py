"""The command line: which rows are measured, and what one that fails does to the others."""

from __future__ import annotations

import pytest

from bench.__main__ import arguments, listed, measure_one
from bench.estimate import Estimate
from bench.row import Finding, Row
from bench.rows import ROWS
from bench.run import FULL, Run
from bench.server import Servers


def test_without_names_every_row_is_measured_and_with_names_these_in_the_table_s_order() -> None:
    assert arguments([]).rows == list(ROWS)
    chosen = arguments(["forced-64", "stock-1", "--quick"])
    assert [row.name for row in chosen.rows] == ["stock-1", "forced-64"]
    assert chosen.quick


def test_an_unknown_row_is_refused_with_the_names_there_are(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        arguments(["stock-2"])
    told = capsys.readouterr().err
    assert "no row is called stock-2" in told
    assert "stock-16" in told


def test_the_list_has_every_row_with_its_target() -> None:
    lines = listed(ROWS).splitlines()
    assert len(lines) == len(ROWS)
    assert lines[0].startswith("stock-1 ")
    assert lines[0].endswith("(≥ 0.98)")


async def test_a_row_that_fails_is_an_entry_with_its_reason() -> None:
    async def burns(_: Run) -> Finding:
        raise RuntimeError("it burns")

    async def works(_: Run) -> Finding:
        return Finding(Estimate(1, 1, 1))

    run = Run(Servers(), FULL)
    entries = [await measure_one(Row("r", "r", (), work), run, False) for work in (burns, works)]
    assert [entry.error for entry in entries] == ["it burns", ""]
    assert entries[1].estimate == Estimate(1, 1, 1)
