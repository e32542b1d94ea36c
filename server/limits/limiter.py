"""Holds every key to its limits: rates, places, and what is left of them."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import NamedTuple

from server.api.turned_away import TurnedAwayError
from server.limits.limits import Limits
from server.limits.meter import current_spend
from server.limits.places import Places, QueueFullError, ServerFullError
from server.limits.rate import Rate

FULL_SECONDS = 2.0
"""After how long to ask again where nobody knows when there will be room."""


class _Rates(NamedTuple):
    requests: Rate | None
    tokens: Rate | None


class Limiter:
    """clock: seconds, for tests. A key that is empty has no limits of its own, but the server's."""

    def __init__(self, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        self.limits = limits
        self._clock = clock
        self._rates: dict[str, _Rates] = {}
        """As many as there are keys that ever asked for something."""
        self._places = Places(
            limits.concurrent_requests, limits.queued_requests, limits.total_requests
        )

    @property
    def under_way(self) -> int:
        """Requests of everybody that run the model, or wait to."""
        return self._places.inside

    def arrive(self, key: str) -> None:
        """A request is there. Raises `TurnedAwayError` (429) if its key had too many."""
        rate = self._of(key).requests if key else None
        if rate is None:
            return
        wait = rate.wait()
        if wait > 0:
            raise _too_many(f"{self.limits.requests_per_minute} requests a minute", wait)
        rate.draw()

    @asynccontextmanager
    async def run(self, key: str) -> AsyncIterator[None]:
        """A request that runs the model. Raises `TurnedAwayError` (429, or 503 if it is full)."""
        rate = self._of(key).tokens if key else None
        wait = 0.0 if rate is None else rate.wait()
        if wait > 0:
            raise _too_many(f"{self.limits.tokens_per_minute} tokens a minute", wait)
        token = current_spend.set(None if rate is None else rate.draw)
        try:
            async with self._place(key):
                yield
        finally:
            current_spend.reset(token)

    def left(self, key: str) -> dict[str, int]:
        """What is left to a key of its rates, and what it has under way."""
        running, waiting = self._places.of(key)
        told = {"running": running, "queued": waiting, "total": self._places.inside}
        if key:
            for name, rate in self._of(key)._asdict().items():
                if rate is not None:
                    told[f"{name}_left"] = rate.left
        return told

    @asynccontextmanager
    async def _place(self, key: str) -> AsyncIterator[None]:
        # Only what is raised before the body runs is about places.
        place = self._places.place(key)
        try:
            await place.__aenter__()
        except QueueFullError:
            most = f"{self.limits.concurrent_requests} requests at once"
            raise _too_many(
                f"{most} and {self.limits.queued_requests} that wait", FULL_SECONDS
            ) from None
        except ServerFullError:
            raise TurnedAwayError(
                503, "server_full", "the server is full; try again", retry_after=FULL_SECONDS
            ) from None
        try:
            yield
        finally:
            await place.__aexit__(None, None, None)

    def _of(self, key: str) -> _Rates:
        rates = self._rates.get(key)
        if rates is None:
            rates = self._rates[key] = _Rates(
                self._rate(self.limits.requests_per_minute),
                self._rate(self.limits.tokens_per_minute),
            )
        return rates

    def _rate(self, per_minute: int) -> Rate | None:
        return Rate(per_minute, self._clock) if per_minute else None


def _too_many(what: str, wait: float) -> TurnedAwayError:
    return TurnedAwayError(
        429, "rate_limit_exceeded", f"this key may have {what}; try again later", retry_after=wait
    )
