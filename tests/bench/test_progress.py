"""What a person sees while rows are measured."""

from __future__ import annotations

import io

from rich.console import Console

from bench.entry import failed, measured
from bench.estimate import Estimate
from bench.progress import Bar
from bench.row import Finding
from bench.rows import ROWS

FORCED = next(row for row in ROWS if row.name == "forced-64")


def test_every_row_that_is_done_leaves_a_line() -> None:
    written = io.StringIO()
    with Bar(2, Console(file=written, width=120)) as bar:
        bar.begin("forced-64")
        bar.expect(2)
        bar.step()
        bar.step()
        bar.end(measured(FORCED, Finding(Estimate(4.2, 4, 4.5)), 61, quick=False))
        bar.begin("forced-64")
        bar.end(failed(FORCED, RuntimeError("it burns"), 1, quick=False))
    lines = written.getvalue().splitlines()
    assert "forced-64: 4.20 (4.00 - 4.50), not met, 61 s" in lines
    assert "forced-64: it burns" in lines
    assert "2/2" in lines[-1]
