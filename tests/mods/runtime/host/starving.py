"""A machine that does not let a process run."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

SPIN = "while True: pass"


@contextmanager
def running(*command: str) -> Iterator[int]:
    """A process on the first processor; its id."""
    started = subprocess.Popen(command)
    try:
        pin(started.pid)
        yield started.pid
    finally:
        started.kill()
        started.wait()


def pin(pid: int) -> None:
    os.sched_setaffinity(pid, {min(os.sched_getaffinity(0))})


@contextmanager
def starved(pid: int) -> Iterator[None]:
    """It shares one processor with two that never sleep, and comes last."""
    spinner = sys.executable, "-c", SPIN
    with running(*spinner), running(*spinner):
        try:
            pin(pid)
            os.setpriority(os.PRIO_PROCESS, pid, 19)
        except PermissionError:
            pytest.skip("only the superuser may starve a host")
        yield
