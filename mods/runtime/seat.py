"""One mod's place in one session: the mod, and the tokens it has promised to leave alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mods.runtime.compile import Traits
from mods.sdk.actions import ActionBuilder
from mods.sdk.errors import ReachExceededError
from mods.sdk.events import Event

Handler = Callable[[Event, ActionBuilder, Any], object]
"""An author's function: (event, actions, tokenizer) to an action or None."""


@dataclass(frozen=True)
class LoadedMod:
    """A handler with its traits, ready to be called."""

    handler: Handler
    traits: Traits


class Seat:
    """Keeps the floor: how many output tokens this mod may not take back any more.

    With a declared reach it follows the newest token at that distance; without one, or while the
    mod holds, it stays where it is until the mod releases. It sinks only where another mod took
    those tokens away: then there is nothing left to leave alone. The lowest floor of a chain,
    which is what a stream may show, never sinks.
    """

    def __init__(self, mod: LoadedMod, number: int) -> None:
        self.mod = mod
        self.number = number
        self.floor = 0
        self.holding = mod.traits.reach is None

    @property
    def name(self) -> str:
        return self.mod.traits.name

    def hold(self) -> None:
        self.holding = True

    def release(self, position: int) -> None:
        self.floor = max(self.floor, position)
        self.holding = self.mod.traits.reach is None

    def follow(self, position: int) -> None:
        """Raise the floor after tokens came in."""
        reach = self.mod.traits.reach
        if not self.holding and reach is not None:
            self.floor = max(self.floor, position - reach)

    def sink(self, length: int) -> None:
        """Forget the promise about tokens that are gone: the output was cut to this many."""
        self.floor = min(self.floor, length)

    def check(self, length: int) -> None:
        """Raise `ReachExceededError` if the output may not be cut to this many tokens."""
        if length < self.floor:
            reach = self.mod.traits.reach
            raise ReachExceededError(
                f"mod {self.name!r} took back to position {length}, but its reach"
                f" ({'undeclared' if reach is None else reach}) has already let the first"
                f" {self.floor} tokens be shown; declare @mod(reach=N) with a larger N, or hold()"
            )
