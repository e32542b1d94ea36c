"""Constraints in the reference: which hold, who sleeps through them, what they come to.

Dead ends between several constraints are not retraced here: they fail the session.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from mods.runtime.decisions import Held, SessionSpec
from mods.runtime.spans import UNKNOWN
from mods.sdk.constraints import Constraint
from mods.sdk.errors import BrokenConstraintError
from mods.sdk.testing.masks import ByteMatchers, Masks


class Sleeper(Protocol):
    """A mod in the chain. slept: the tokens that it is to be told of, now that it wakes."""

    asleep: bool
    slept: list[int] | None


@dataclass(frozen=True)
class Stretch:
    """A constraint with its start, and who sleeps until it is complete."""

    held: Held
    sleeper: Sleeper | None = None


class Stretches:
    """All of one session's."""

    def __init__(self, spec: SessionSpec) -> None:
        self._reasoning_end, self._matchers = spec.reasoning_end, ByteMatchers()
        self._all: list[Stretch] = []
        if spec.constraint is not None:
            start = UNKNOWN if spec.reasoning_end is not None else 0
            self._all.append(Stretch(Held(spec.constraint, start, True)))

    def hold(self, constraint: Constraint, start: int, sleeper: Sleeper | None) -> None:
        """From here on, until it is complete. Raises `ConstraintError`."""
        self._matchers.matcher(constraint)
        self._all.append(Stretch(Held(constraint, start), sleeper))
        if sleeper is not None:
            sleeper.asleep = True

    def allowed(self, tokens: Sequence[int]) -> frozenset[int] | None:
        """What may come next, None for anything. Raises `BrokenConstraintError` for nothing."""
        left = self._masks([stretch.held for stretch in self._all]).allowed(tokens)
        if left is not None and not left:
            raise BrokenConstraintError("a dead end")
        return left

    def take(self, tokens: Sequence[int]) -> None:
        """The newest token is in. Raises `BrokenConstraintError` where it is not allowed."""
        for stretch in list(self._all):
            masks = self._masks([stretch.held])
            if masks.broken(tokens):
                raise BrokenConstraintError(f"{tokens[-1]} breaks {stretch.held}")
            if stretch.sleeper is not None and masks.complete(tokens):
                self._wake(stretch, tokens)

    def wake_all(self, tokens: Sequence[int]) -> None:
        """The generation ends here."""
        for stretch in list(self._all):
            if stretch.sleeper is not None:
                stretch.sleeper.slept = list(tokens[stretch.held.start :])

    def cut(self, length: int) -> None:
        """What began beyond this is gone, and who slept for it is awake."""
        for stretch in list(self._all):
            if stretch.held.start > length:
                self._all.remove(stretch)
                if stretch.sleeper is not None:
                    stretch.sleeper.asleep = False

    def replaced(self, tokens: Sequence[int]) -> None:
        """All output was replaced. Raises `BrokenConstraintError` if it is not what was asked."""
        masks = self._masks([stretch.held for stretch in self._all if stretch.held.whole])
        if masks.broken(tokens) or not masks.satisfied(tokens):
            raise BrokenConstraintError("the output is not whole")

    def _wake(self, stretch: Stretch, tokens: Sequence[int]) -> None:
        assert stretch.sleeper is not None
        stretch.sleeper.slept = list(tokens[stretch.held.start :])
        self._all.remove(stretch)

    def _masks(self, held: Sequence[Held]) -> Masks:
        return Masks(held, self._matchers, self._reasoning_end)
