"""A row with what was measured of it, as it is kept: what tables, plots and pages are made from."""

from __future__ import annotations

from typing import Any

import msgspec

from bench.estimate import Estimate
from bench.row import Finding, Row, Target

DIGITS = 4


class Entry(msgspec.Struct):
    """One line of the table. seconds: what the row took, without starts of servers.

    error: why there is no number, empty if there is one.
    """

    name: str
    says: str
    unit: str
    target: Target | None
    estimate: Estimate | None
    floor: Estimate | None
    facts: dict[str, Any]
    seconds: float
    quick: bool
    error: str = ""

    @property
    def verdict(self) -> str:
        """Whether the target is met, by the median: yes, no, or nothing where there is none."""
        if self.error or self.estimate is None:
            return "failed"
        if self.target is None:
            return ""
        return "yes" if self.target.met(self.estimate.value) else "no"


def measured(row: Row, finding: Finding, seconds: float, quick: bool) -> Entry:
    """A row that came to a number."""
    return Entry(
        row.name,
        row.says,
        row.unit,
        row.target,
        finding.estimate,
        finding.floor,
        _rounded(finding.facts),
        round(seconds, 1),
        quick,
    )


def failed(row: Row, error: Exception, seconds: float, quick: bool) -> Entry:
    """A row that came to none."""
    reason = str(error) or type(error).__name__
    if isinstance(error, ExceptionGroup):
        reason = "; ".join(str(part) for part in error.exceptions)
    return Entry(
        row.name, row.says, row.unit, row.target, None, None, {}, round(seconds, 1), quick, reason
    )


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, DIGITS)
    if isinstance(value, dict):
        return {name: _rounded(inner) for name, inner in value.items()}
    return [_rounded(inner) for inner in value] if isinstance(value, list) else value
