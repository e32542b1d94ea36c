"""What a row of the table is: a number to measure, and how large it may be."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bench.estimate import Estimate
from bench.server import Program

if TYPE_CHECKING:
    from bench.run import Run


@dataclass(frozen=True)
class Target:
    """A bound on the number: at least this, or at most."""

    bound: float
    least: bool

    def met(self, value: float) -> bool:
        return value >= self.bound if self.least else value <= self.bound

    def __str__(self) -> str:
        return f"{'≥' if self.least else '≤'} {self.bound:g}"


def at_least(bound: float) -> Target:
    return Target(bound, least=True)


def at_most(bound: float) -> Target:
    return Target(bound, least=False)


@dataclass(frozen=True)
class Finding:
    """What a row's measurement came to.

    floor: the same arithmetic on two sides that are the same, 1 on a silent machine; None where
    there is none. facts: numbers behind the estimate, by name, for the JSON line and the notes.
    """

    estimate: Estimate
    floor: Estimate | None = None
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Row:
    """One comparison.

    name: for the command line. says: what the number is, as the table puts it. unit: what it
    counts, empty for a ratio. target: None where the number is only stated. programs: the servers
    that it needs. measure: does it.
    """

    name: str
    says: str
    programs: tuple[Program, ...]
    measure: Callable[[Run], Awaitable[Finding]]
    target: Target | None = None
    unit: str = ""
