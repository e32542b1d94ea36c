"""The engine's processes as the kernel shows them: who they are, whether they move, what they hold.

Linux only, from `/proc`. A process is known by its id and its time of birth, so that an id that
the kernel gave to somebody else since is never signalled.
"""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")
_SHARED_MEMORY = "/dev/shm/"
_TICK = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Process:
    """pid, and born: the kernel's clock ticks at its start."""

    pid: int
    born: int

    @property
    def is_there(self) -> bool:
        """Whether it runs, or could if it were let."""
        stat = _stat(self.pid)
        return stat is not None and stat.born == self.born and stat.state != "Z"

    @property
    def is_stopped(self) -> bool:
        """Whether somebody has stopped it with a signal."""
        stat = _stat(self.pid)
        return stat is not None and stat.born == self.born and stat.state in "Tt"

    @property
    def seconds(self) -> float:
        """Processor time that it has used; 0 once it is gone."""
        stat = _stat(self.pid)
        return stat.seconds if stat is not None and stat.born == self.born else 0.0

    def kill(self) -> None:
        """End it, also where it is stopped."""
        if self.is_there:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)

    def segments(self) -> set[Path]:
        """Python's segments of shared memory that it maps."""
        with suppress(OSError):
            lines = (_PROC / str(self.pid) / "maps").read_text().splitlines()
            paths = {line.split(maxsplit=5)[5] for line in lines if _SHARED_MEMORY in line}
            return {Path(path) for path in paths if path.startswith(f"{_SHARED_MEMORY}psm_")}
        return set()


def family(root: int) -> list[Process]:
    """A process and all that descend from it; empty if there is none of this id."""
    stats = {int(path.name): _stat(int(path.name)) for path in _PROC.glob("[0-9]*")}
    found, parents = [], {root}
    while parents:
        for pid in parents:
            stat = stats.get(pid)
            if stat is not None:
                found.append(Process(pid, stat.born))
        parents = {
            pid for pid, stat in stats.items() if stat is not None and stat.parent in parents
        }
    return found


@dataclass(frozen=True)
class _Stat:
    state: str
    parent: int
    seconds: float
    born: int


def _stat(pid: int) -> _Stat | None:
    try:
        text = (_PROC / str(pid) / "stat").read_text()
    except OSError:
        return None
    # The name, in brackets, may hold anything.
    fields = text[text.rindex(")") + 2 :].split()
    return _Stat(
        fields[0], int(fields[1]), (int(fields[11]) + int(fields[12])) / _TICK, int(fields[19])
    )
