"""The arithmetic of the measures: processor time of a process tree, and ratios with an interval.

Absolute times depend on the machine and on its neighbours; ratios of two sides that were measured
in turn do so much less. Nothing here talks to a server.
"""

from __future__ import annotations

import os
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

RESAMPLES = 10_000
PROC = Path("/proc")
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Block:
    """What one run of requests took, or several runs together.

    tokens: in the answers. drawn: by the model, those taken back included. wall and cores: seconds,
    the latter of processor time. segments: vLLM requests of sessions with mods. late: segments
    that ended because mods missed the soft deadline.
    """

    tokens: int
    drawn: int
    wall: float
    cores: float
    segments: int = 0
    late: int = 0

    def __add__(self, other: Block) -> Block:
        return Block(
            self.tokens + other.tokens,
            self.drawn + other.drawn,
            self.wall + other.wall,
            self.cores + other.cores,
            self.segments + other.segments,
            self.late + other.late,
        )

    @property
    def tokens_per_second(self) -> float:
        return self.tokens / self.wall

    @property
    def microseconds_per_token(self) -> float:
        """Processor time, of every core together."""
        return 1e6 * self.cores / self.tokens


@dataclass(frozen=True)
class Ratio:
    """The median of the rounds' ratios, and its 95% interval."""

    median: float
    low: float
    high: float


def ratio_of(pairs: Iterable[tuple[float, float]], seed: int = 1) -> Ratio:
    """The median of second / first over pairs, one pair a round."""
    ratios = [second / first for first, second in pairs]
    return Ratio(statistics.median(ratios), *bootstrap(ratios, seed))


def bootstrap(values: Sequence[float], seed: int = 1) -> tuple[float, float]:
    """The 95% interval of the median, from resampling the values with replacement."""
    draws = np.random.default_rng(seed).choice(np.asarray(values), (RESAMPLES, len(values)))
    low, high = np.percentile(np.median(draws, axis=1), [2.5, 97.5])
    return float(low), float(high)


def tree_seconds(root: int, proc: Path = PROC, per_second: int = TICKS_PER_SECOND) -> float:
    """Processor seconds, user and system, of a process and of all that descend from it.

    Processes that ended count through the parent that waited for them, so that the sum never
    falls while a host comes or goes.
    """
    parents, ticks = {}, {}
    for stat in proc.glob("[0-9]*/stat"):
        try:
            pid, parent, spent = _parse(stat.read_text())
        except (FileNotFoundError, ProcessLookupError):  # it has ended since
            continue
        parents[pid], ticks[pid] = parent, spent
    return sum(ticks[pid] for pid in ticks if _descends(pid, root, parents)) / per_second


def _parse(stat: str) -> tuple[int, int, int]:
    """A process, its parent, and its ticks: utime, stime, cutime and cstime together."""
    # The command stands in parentheses and may hold spaces and parentheses itself.
    head, tail = stat.rsplit(")", 1)
    fields = tail.split()
    return int(head.split()[0]), int(fields[1]), sum(map(int, fields[11:15]))


def _descends(pid: int, root: int, parents: dict[int, int]) -> bool:
    while pid != root and pid in parents:
        pid = parents[pid]
    return pid == root
