"""Where constraints that must hold together left nothing to draw, and what led there."""

from __future__ import annotations

from mods.sdk.errors import BrokenConstraintError

MAX_DEAD_ENDS = 64
"""Tokens taken back out of dead ends in one session; one more fails it."""


class DeadEnds:
    """The tokens that led to a dead end, by the position at which they may not come again."""

    def __init__(self) -> None:
        self._barred: dict[int, set[int]] = {}
        self._count = 0

    def bar(self, position: int, token: int, text: str) -> None:
        """This token, drawn at this position, led nowhere. Raises `BrokenConstraintError`."""
        self._count += 1
        if self._count > MAX_DEAD_ENDS:
            raise BrokenConstraintError(
                f"no text was found that satisfies all parts of the constraint: {MAX_DEAD_ENDS}"
                f" dead ends were taken back, the last after {text!r}"
            )
        self._barred = {at: tokens for at, tokens in self._barred.items() if at <= position}
        self._barred.setdefault(position, set()).add(token)

    def at(self, position: int) -> list[int]:
        """What may not be drawn as output token number `position`."""
        return sorted(self._barred.get(position, ()))
