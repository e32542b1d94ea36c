"""Hosts that answer from a function instead of a process, and rows to put before them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mods.runtime.decisions import LEAVE, Decision
from mods.runtime.host.protocol import FeedRow
from processors.rows import Row, SegmentArgs, Tokens

VOCABULARY = 32
SENTINEL = 31

Decide = Callable[[FeedRow], Decision]


class FakeFeeds:
    """Stands where `Feeds` does, with its rules: at most one feed a host, then one `collect`.

    decide: the answer to a row. late: hosts that do not answer in time. whole: whole rows of
    logits by (host, index). Everything that was fed stays in `fed`, by step.
    """

    def __init__(self, decide: Decide = lambda row: LEAVE) -> None:
        self.decide = decide
        self.late: set[str] = set()
        self.failing: set[str] = set()
        self.whole: dict[tuple[str, int], NDArray[np.float32]] = {}
        self.fed: list[dict[str, list[FeedRow]]] = []
        self.logits: dict[str, NDArray[np.float32]] = {}
        self.before_collect: Callable[[], None] = lambda: None
        self._step: dict[str, list[FeedRow]] = {}

    def send(
        self, address: str, rows: Sequence[FeedRow], logits: NDArray[np.float32] | None = None
    ) -> None:
        assert address not in self._step, f"two feeds for {address} in one step"
        if address in self.failing:
            raise RuntimeError(f"cannot write to {address}")
        self._step[address] = list(rows)
        if logits is not None:
            assert len(logits) == len(rows)
            self.logits[address] = logits.copy()

    def collect(self, deadline: float) -> dict[str, list[Decision]]:
        step, self._step = self._step, {}
        self.fed.append(step)
        self.before_collect()
        return {
            host: [self.decide(row) for row in rows]
            for host, rows in step.items()
            if host not in self.late
        }

    def row(self, address: str, index: int) -> NDArray[np.float32]:
        return self.whole.get((address, index), np.zeros(0, dtype=np.float32))

    def sessions(self, step: int = -1) -> list[int]:
        """Which sessions were fed in a step."""
        return sorted(row.session for rows in self.fed[step].values() for row in rows)


def segment(session: int = 1, **more: Any) -> SegmentArgs:
    given: dict[str, Any] = {
        "host": "host-1",
        "segment": 1,
        "kept": 0,
        "erased": 0,
        "sentinel": SENTINEL,
        "reads_logits": False,
        "temperature": 1.0,
        "seed": 7,
    }
    return SegmentArgs(session=session, **{**given, **more})


def row(session: int = 1, prompt: Tokens = (), output: Tokens = (), **more: Any) -> Row:
    return Row(segment(session, **more), prompt, output)
