"""llguidance's matchers by row: advanced by the row's tokens, their masks filled in parallel.

A matcher's state is derived from tokens alone: a row that comes back after a preemption, or a
segment that begins with kept tokens, replays them. Masks are filled on a thread of their own,
outside Python's lock, from the moment the tokens are known until the logits are there.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from llguidance import LLExecutor
from numpy.typing import NDArray

from mods.runtime.grammar.matcher import Matcher, fill_rows
from processors.grammars import Grammars
from processors.rows import Row

UNKNOWN = -1
"""The start of a constraint that holds from the end of a reasoning that goes on."""

Words = NDArray[np.int32]
"""One row's mask, int32 [ceil(vocabulary / 32)]: bit i % 32 of word i // 32 for token i."""

log = logging.getLogger("concordance.processor")


@dataclass(eq=False)
class Constraint:
    """One constraint over one row, from output position `start` on."""

    matcher: Matcher
    start: int
    whole: bool
    lifted: bool = False


@dataclass(eq=False)
class Constraints:
    """What holds in one row, and how many of the session's output tokens it has seen."""

    held: list[Constraint]
    seen: int = 0
    changed: bool = False
    """Whether one of them became complete in this segment."""
    broken: bool = False
    """Whether a token came that one of them does not allow, or one is not there."""

    @property
    def holding(self) -> list[Matcher]:
        return [c.matcher for c in self.held if not c.lifted and c.start != UNKNOWN]


class Masks:
    """The masks of a step: `begin` once the tokens are known, `collect` once the logits are."""

    def __init__(self, grammars: Grammars, threads: int | None = None) -> None:
        self._grammars = grammars
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="masks")
        self._threads = threads or max(1, (os.cpu_count() or 1) // 2)
        self._executor: LLExecutor | None = None
        self._filling: Future[dict[int, Words]] | None = None

    def begin(self, rows: Mapping[int, Row]) -> None:
        """Advance every constrained row by its new tokens, and start filling masks."""
        constrained = {index: row for index, row in rows.items() if row.args.held}
        for row in constrained.values():
            self._advance(row)
        self._filling = None
        if constrained:
            self._filling = self._thread.submit(self._fill, constrained)

    def collect(self) -> dict[int, Words]:
        """Masks by row, of the rows in which a constraint holds."""
        filling, self._filling = self._filling, None
        return filling.result() if filling is not None else {}

    def _advance(self, row: Row) -> None:
        if row.constraints is None:
            row.constraints = self._attach(row)
        state = row.constraints
        tokens = _session_tokens(row, state.seen)
        for token in tokens:
            state.seen += 1
            for constraint in state.held:
                _take(row, state, constraint, token)

    def _attach(self, row: Row) -> Constraints:
        """Matchers at their beginning; the kept tokens are replayed by `_advance`."""
        held, broken = [], False
        for digest, start, whole in row.args.held:
            matcher = self._grammars.matcher(digest)
            if matcher is None:
                broken = True
            else:
                held.append(Constraint(matcher, start, whole))
        return Constraints(held, broken=broken)

    def _fill(self, rows: Mapping[int, Row]) -> dict[int, Words]:
        """Runs on the masks' own thread, while the model computes."""
        found: dict[int, Words] = {}
        jobs: list[tuple[int, Matcher]] = []
        for index, row in rows.items():
            assert row.constraints is not None
            if row.constraints.broken:
                found[index] = np.zeros(self._grammars.words, dtype=np.int32)
                continue
            jobs.extend((index, matcher) for matcher in row.constraints.holding)
        if not jobs:
            return found
        words = np.zeros((len(jobs), self._grammars.words), dtype=np.int32)
        if self._executor is None:
            self._executor = LLExecutor(num_threads=self._threads)
        fill_rows([(matcher, at) for at, (_, matcher) in enumerate(jobs)], words, self._executor)
        for (index, _), mask in zip(jobs, words, strict=True):
            found[index] = mask if index not in found else found[index] & mask
        return found


def _session_tokens(row: Row, seen: int) -> list[int]:
    """The session's output tokens from number `seen` on."""
    if seen >= row.args.kept:
        return [int(token) for token in row.output[seen - row.args.kept :]]
    return [int(token) for token in [*row.kept_output()[seen:], *row.output]]


def _take(row: Row, state: Constraints, constraint: Constraint, token: int) -> None:
    """One more token of the session's, the `seen`-th."""
    if constraint.start == UNKNOWN:
        if token == row.args.reasoning_end:
            constraint.start = state.seen
        return
    if constraint.lifted or state.seen <= constraint.start:
        return
    if not constraint.matcher.consume([token]):
        state.broken = True
    elif constraint.matcher.stopped if constraint.whole else constraint.matcher.complete:
        constraint.lifted = True
        state.changed = state.changed or state.seen > row.args.kept
