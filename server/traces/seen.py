"""What was seen of one choice of one request while it ran: as it came, nothing worked out yet."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from server.traces.asked import Asked
from server.traces.record import Error, ModUse


def micros() -> int:
    """Microseconds since the epoch."""
    return time.time_ns() // 1000


@dataclass
class Seen:
    """began, ended, first: microseconds since the epoch. prompt: as it was computed;
    asked_prompt: as it was before a mod changed it.

    tokens: the engine's, in the order in which they came. Each has its place in the output, its
    time (None where all came at the end), and what the engine says of its draw (a dict of token
    to an object with `logprob` and `rank`, None if nothing). output: the final tokens, where these
    are not simply the engine's. record: what a session's host gave when it was closed.
    """

    asked: Asked
    request_id: str
    group_id: str
    choice: int
    level: Literal["tokens", "full"]
    model: str
    prompt: Sequence[int] = ()
    asked_prompt: Sequence[int] = ()
    prompt_text: str = ""
    params: Any = None
    streams: bool = False
    mods: list[ModUse] = field(default_factory=list)
    began: int = field(default_factory=micros)
    first: int | None = None
    ended: int = 0
    tokens: list[int] = field(default_factory=list)
    places: list[int] | None = None
    times: list[int | None] = field(default_factory=list)
    draws: list[Any] = field(default_factory=list)
    text: str = ""
    output: list[int] | None = None
    finish_reason: str = ""
    stop_reason: int | str | None = None
    tool_calls: list[dict[str, Any]] | None = None
    error: Error | None = None
    cached: int = 0
    record: dict[str, Any] | None = None

    def took(self, tokens: Sequence[int], draws: Sequence[Any] | None, place: int | None) -> None:
        """New tokens of the engine. place: the first one's in the output; None: behind the others'.

        draws: one for each token.
        """
        now = micros()
        if self.first is None and tokens:
            self.first = now
        if place is not None:
            self.places = [] if self.places is None else self.places
            self.places.extend(range(place, place + len(tokens)))
        self.tokens.extend(tokens)
        self.times.extend([now if self.streams else None] * len(tokens))
        if draws is not None:
            self.draws.extend([None] * (len(self.tokens) - len(tokens) - len(self.draws)))
            self.draws.extend(draws)
