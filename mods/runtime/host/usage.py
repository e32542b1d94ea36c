"""What a process does with the processor, by the kernel's own count: no process can make it up.

How long a process has waited for a processor, the kernel counts only once the wait is over
(`run_delay` in `/proc/PID/schedstat`). A wait that goes on shows as a process that is ready to
run and whose processor time stands still.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int) -> float | None:
    """Seconds in user and kernel mode since its start; None if there is no such process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


class Usage:
    """What the kernel says of a process, to be asked often. Owns two descriptors."""

    def __init__(self, pid: int) -> None:
        self._descriptors: list[int] = []
        with suppress(OSError):
            for name in ("stat", "schedstat"):
                path = f"/proc/{pid}/{name}"
                self._descriptors.append(os.open(path, os.O_RDONLY | os.O_CLOEXEC))

    def look(self) -> tuple[bool, float] | None:
        """Whether it is ready to run, or runs, and its seconds on a processor since its start.

        None where the kernel does not tell, or the process is gone.
        """
        if len(self._descriptors) < 2:
            return None
        try:
            stat, sched = (os.pread(descriptor, 1024, 0) for descriptor in self._descriptors)
            return stat.rpartition(b")")[2].split()[0] == b"R", int(sched.split()[0]) / 1e9
        except (OSError, ValueError, IndexError):
            return None

    def close(self) -> None:
        while self._descriptors:
            os.close(self._descriptors.pop())


LONGEST_LOOK = 0.25
"""Seconds that count at most between two looks: whoever looks was not let run either."""


class OwnTime:
    """Seconds that a process ran or slept since a moment; waiting for a processor is neither.

    Only as exact as `seconds` is asked for often: between two looks a process did what it does at
    the second. Owns descriptors.
    """

    def __init__(self, pid: int) -> None:
        self._usage = Usage(pid)
        self.restart()

    def restart(self) -> None:
        """Count from now on."""
        _, self._ran = self._look()
        self._seconds, self._then = 0.0, time.monotonic()

    def seconds(self) -> float:
        then, ran_then = self._then, self._ran
        ready, self._ran = self._look()
        self._then = time.monotonic()
        self._seconds += self._ran - ran_then if ready else min(self._then - then, LONGEST_LOOK)
        return self._seconds

    def close(self) -> None:
        self._usage.close()

    def _look(self) -> tuple[bool, float]:
        """As `Usage.look`; what the kernel does not tell of counts as asleep."""
        return self._usage.look() or (False, 0.0)
