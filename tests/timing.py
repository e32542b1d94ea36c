"""How long things took.

What takes longer than it should is told when the run ends. A test fails for it only where it took
so much longer that no busy machine explains it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

SLACK = 10.0
"""How many times its bound a thing may take before its test fails."""

LATE: list[str] = []
"""What took longer than its bound, a line each."""


def in_time(seconds: float, bound: float) -> bool:
    """Whether so many seconds are within reach of the bound; above it, they are told."""
    if seconds > bound:
        # pytest keeps the name of the running test here.
        test = os.environ.get("PYTEST_CURRENT_TEST", "a test").split(" ")[0]
        LATE.append(f"{test}: {seconds:.2f} s, where {bound:.2f} s are meant")
    return seconds < SLACK * bound


def since(began: float) -> float:
    """Seconds since a moment of `time.monotonic`."""
    return time.monotonic() - began


def reaches(condition: Callable[[], bool], bound: float) -> bool:
    """Whether the condition comes to hold. It should within so many seconds."""
    began = time.monotonic()
    while not (held := condition()) and since(began) < SLACK * bound:
        time.sleep(0.02)
    return held and in_time(since(began), bound)
