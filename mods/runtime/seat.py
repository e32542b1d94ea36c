"""One mod's place in one session: the mod, and the tokens it has promised to leave alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from mods.runtime.compile import Traits
from mods.sdk.actions import ActionBuilder, AdjustedLogits
from mods.sdk.errors import ReachExceededError
from mods.sdk.events import Added, Event, ForwardPass, Sampled

Handler = Callable[[Event, ActionBuilder, Any], object]
"""An author's function: (event, actions, tokenizer) to an action or None."""


_ROUNDS = frozenset({"ForwardPass", "Sampled", "Added"})


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
        self.asleep = False
        """Whether the mod asked not to be asked until a constraint is complete."""
        self.stretch: list[int] | None = None
        """The tokens that it slept through, once there is nothing left to sleep for."""
        self._held: AdjustedLogits | None = None
        self._asleep_at: AdjustedLogits | None = None

    @property
    def name(self) -> str:
        return self.mod.traits.name

    def hears(self, event: Event) -> Event | None:
        """The event as this mod is told of it; None if it is told nothing."""
        if self.asleep and isinstance(event, (ForwardPass, Sampled, Added)):
            if self.stretch is None or not isinstance(event, Added):
                return None
            tokens, self.stretch, self.asleep = self.stretch, None, False
            event = replace(event, added_tokens=tokens, forced=False, constrained=True)
        if event.name not in self.mod.traits.events:
            return None
        if isinstance(event, Added):
            return _copy(event)
        return event

    @property
    def held(self) -> AdjustedLogits | None:
        """The shape of every draw for which the mod asks for nothing else: a temperature."""
        return self._asleep_at if self.asleep and self._asleep_at is not None else self._held

    @property
    def listens(self) -> bool:
        """Whether rounds must be told to this mod as they happen."""
        if self.held is not None:
            return True
        return not self.asleep and not _ROUNDS.isdisjoint(self.mod.traits.events)

    @property
    def reads_logits(self) -> bool:
        return self.mod.traits.logits and not self.asleep

    @property
    def reads_confidence(self) -> bool:
        return self.mod.traits.confidence and not self.asleep

    def hold(self) -> None:
        self.holding = True

    def release(self, position: int) -> None:
        self.floor = max(self.floor, position)
        self.holding = self.mod.traits.reach is None

    def hold_temperature(self, temperature: float | None) -> None:
        """Draw at this temperature from here on; None holds none."""
        self._held = None if temperature is None else AdjustedLogits(token_temp=temperature)

    def sleep(self, temperature: float | None) -> None:
        """Ask the mod nothing until a constraint is complete, and draw at this temperature."""
        self.asleep = True
        self._asleep_at = None if temperature is None else AdjustedLogits(token_temp=temperature)

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


def _copy(event: Added) -> Added:
    """The event with a list of its own: the author's to edit. (`replace` takes thrice as long.)"""
    return Added(
        event.request_id,
        event.step,
        event.position,
        list(event.added_tokens),
        event.forced,
        event.removed,
        event.constrained,
        event.ends,
    )
