"""So much a minute: a level that fills steadily, up to one minute's worth, and is drawn from."""

from __future__ import annotations

import time
from collections.abc import Callable

MINUTE = 60.0


class Rate:
    """per_minute: how much. clock: seconds, for tests.

    More may be drawn than there is, where the cost is known afterwards only; then the level is
    below zero, and whoever comes next waits the longer.
    """

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_second = per_minute / MINUTE
        self._most = float(per_minute)
        self._level = self._most
        self._clock = clock
        self._then = clock()

    @property
    def left(self) -> int:
        """What could be drawn now."""
        self._fill()
        return max(0, int(self._level))

    def wait(self) -> float:
        """Seconds until one could be drawn; 0 if one can be now."""
        self._fill()
        return max(0.0, (1.0 - self._level) / self._per_second)

    def draw(self, amount: int = 1) -> None:
        self._fill()
        self._level -= amount

    def _fill(self) -> None:
        now = self._clock()
        self._level = min(self._most, self._level + (now - self._then) * self._per_second)
        self._then = now
