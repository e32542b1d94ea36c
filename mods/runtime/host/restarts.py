"""How soon a host may be started again after it fell: at once, then later and later."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Hashable

WINDOW = 60.0
"""Seconds after which a fall is forgotten."""
FIRST_PAUSE, LONGEST_PAUSE = 0.25, 4.0
"""Seconds before the second start in a row, doubled for each one after it."""
MAX_KEYS = 10_000


class Restarts:
    """Times of falls by key. Times are seconds on any clock that only goes on."""

    def __init__(self) -> None:
        self._falls: defaultdict[Hashable, deque[float]] = defaultdict(deque)

    def fell(self, key: Hashable, now: float) -> int:
        """Remember a fall. Returns how many there were lately."""
        falls = self._recent(key, now)
        falls.append(now)
        if len(self._falls) > MAX_KEYS:
            del self._falls[next(iter(self._falls))]
        return len(falls)

    def pause(self, key: Hashable, now: float) -> float:
        """Seconds to wait from now on before the next start."""
        if key not in self._falls:
            return 0.0
        falls = self._recent(key, now)
        if not falls:
            del self._falls[key]
            return 0.0
        if len(falls) == 1:
            return 0.0
        pause: float = min(FIRST_PAUSE * 2 ** (len(falls) - 2), LONGEST_PAUSE)
        return max(0.0, falls[-1] + pause - now)

    def forget(self, key: Hashable) -> None:
        self._falls.pop(key, None)

    def _recent(self, key: Hashable, now: float) -> deque[float]:
        falls = self._falls[key]
        while falls and falls[0] <= now - WINDOW:
            falls.popleft()
        return falls
