"""A process and all that descend from it: what they cost, and whether they may work."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

PROC = Path("/proc")
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


def tree_seconds(root: int, proc: Path = PROC, per_second: int = TICKS_PER_SECOND) -> float:
    """Processor seconds, user and system, of a process and of all that descend from it.

    Processes that ended count through the parent that waited for them, so that the sum never
    falls while a host comes or goes.
    """
    return sum(tree(root, proc).values()) / per_second


def tree(root: int, proc: Path = PROC) -> dict[int, int]:
    """Process ids of a process and all its descendants, with each one's time in ticks."""
    parents, ticks = {}, {}
    for stat in proc.glob("[0-9]*/stat"):
        try:
            pid, parent, spent = _parse(stat.read_text())
        except (FileNotFoundError, ProcessLookupError):  # it has ended since
            continue
        parents[pid], ticks[pid] = parent, spent
    return {pid: spent for pid, spent in ticks.items() if _descends(pid, root, parents)}


def signal_tree(root: int, number: int) -> None:
    """Send a signal to every process of a tree."""
    for pid in tree(root):
        with suppress(ProcessLookupError):
            os.kill(pid, number)


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
