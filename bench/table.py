"""The table, for a terminal and for a page."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from bench.entry import Entry
from bench.estimate import Estimate
from bench.row import Target

HEADINGS = ("row", "what", "value", "95% interval", "noise floor", "target", "met")


def cells(entry: Entry) -> list[str]:
    """One line, in the order of `HEADINGS`."""
    value, interval = "", entry.error[:60]
    if entry.estimate is not None:
        value = f"{number(entry.estimate.value)} {entry.unit}".strip()
        interval = between(entry.estimate)
    return [
        entry.name,
        entry.says,
        value,
        interval,
        between(entry.floor) if entry.floor else "",
        shown_target(entry.target, entry.unit),
        entry.verdict,
    ]


def between(estimate: Estimate) -> str:
    return f"{number(estimate.low)} - {number(estimate.high)}"


def number(value: float) -> str:
    """Three digits that count, four near 1: 0.983, 7.42, 695."""
    if abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.3f}" if abs(value) < 2 else f"{value:.2f}"


def shown_target(target: Target | None, unit: str) -> str:
    return f"{target} {unit}".strip() if target else "stated"


def for_terminal(entries: Sequence[Entry]) -> Table:
    shown = Table()
    for heading in HEADINGS:
        shown.add_column(heading, no_wrap=heading not in {"what", "95% interval"})
    for entry in entries:
        colour = {"no": "yellow", "failed": "red"}.get(entry.verdict)
        shown.add_row(*cells(entry), style=colour)
    return shown


def for_page(entries: Sequence[Entry]) -> str:
    lines = [HEADINGS, ["---"] * len(HEADINGS), *(cells(entry) for entry in entries)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
