"""Whether requests that run the model are taken now, and what is said of it where they are not."""

from __future__ import annotations

from typing import Protocol

from server.api.turned_away import TurnedAwayError

STOPPING_S = 5.0
"""After how long to ask again where a server stops: another may stand in its place by then."""


class Keeper(Protocol):
    """Who keeps the engine running. reason: why it is not there, None while it serves."""

    reason: str | None

    @property
    def back_in_s(self) -> float: ...


class Readiness:
    """keeper: None for an engine that cannot end by itself."""

    def __init__(self, keeper: Keeper | None = None) -> None:
        self._keeper = keeper
        self.stopping = False
        """Whether the server finishes what it has and takes nothing more."""

    @property
    def state(self) -> str:
        """`serving`, `restarting` or `stopping`."""
        if self.stopping:
            return "stopping"
        return "serving" if self.reason is None else "restarting"

    @property
    def reason(self) -> str | None:
        """Why the engine is not there."""
        return None if self._keeper is None else self._keeper.reason

    @property
    def back_in_s(self) -> float:
        """After how long to ask again."""
        if self.stopping or self._keeper is None:
            return STOPPING_S
        return self._keeper.back_in_s

    def check(self) -> None:
        """Raises `TurnedAwayError` (503) where nothing new is taken."""
        if self.stopping:
            raise TurnedAwayError(
                503, "server_stopping", "the server is stopping", retry_after=self.back_in_s
            )
        if self.reason is not None:
            raise TurnedAwayError(
                503,
                "engine_restarting",
                f"{self.reason}; it is being started again, try again later",
                retry_after=self.back_in_s,
            )
