"""Several mods at one event: each sees the original event, one outcome comes of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from mods.runtime.seat import Seat
from mods.sdk.actions import Action, AdjustedLogits, Noop


@dataclass(frozen=True)
class Answer:
    """One mod's action at an event. call: the number of the call that it came of."""

    seat: Seat
    action: Action
    call: int = -1


@dataclass(frozen=True)
class Outcome:
    """What the chain does: the acting seat and action, and the answers that lost.

    Constraints of several mods all hold, so they are not merged into one action.
    """

    seat: Seat | None
    action: Action
    overridden: Sequence[Answer] = ()
    merged: Sequence[Answer] = ()
    """The shapes that the action is made of, where several mods shape."""

    @property
    def constraining(self) -> list[tuple[Seat, AdjustedLogits]]:
        """Whose shapes hold a constraint, in order."""
        answers = self.merged or ([Answer(self.seat, self.action)] if self.seat else [])
        return [
            (answer.seat, answer.action)
            for answer in answers
            if isinstance(answer.action, AdjustedLogits) and answer.action.constraint is not None
        ]


NOTHING = Outcome(None, Noop())


def combine(answers: Sequence[Answer]) -> Outcome:
    """Terminal > backtrack > force > shape; ties by order. Shapes are merged, not chosen."""
    acting = [answer for answer in answers if answer.action.rank > 0]
    if not acting:
        return NOTHING
    if len(acting) == 1:
        return Outcome(acting[0].seat, acting[0].action)
    top = max(answer.action.rank for answer in acting)
    first = next(answer for answer in acting if answer.action.rank == top)
    if isinstance(first.action, AdjustedLogits):
        return _merge_shapes(acting)
    return Outcome(first.seat, first.action, [answer for answer in acting if answer is not first])


def _merge_shapes(answers: Sequence[Answer]) -> Outcome:
    """Biases add, bans unite, allows intersect; the first whole row and temperature win."""
    merged = AdjustedLogits()
    overridden: list[Answer] = []
    for answer in answers:
        shape = answer.action
        assert isinstance(shape, AdjustedLogits)
        row_lost = shape.logits is not None and merged.logits is not None
        temperature_lost = shape.token_temp is not None and merged.token_temp is not None
        if row_lost or temperature_lost:
            overridden.append(answer)
        merged = _add_shape(merged, shape)
    return Outcome(answers[0].seat, merged, overridden, answers)


def _add_shape(one: AdjustedLogits, other: AdjustedLogits) -> AdjustedLogits:
    bias = dict(one.bias)
    for token, amount in other.bias.items():
        bias[token] = bias.get(token, 0.0) + amount
    allow = other.allow if one.allow is None else one.allow
    if one.allow is not None and other.allow is not None:
        allow = one.allow & other.allow
    return replace(
        one,
        logits=one.logits if one.logits is not None else other.logits,
        bias=bias,
        ban=one.ban | other.ban,
        allow=allow,
        token_temp=one.token_temp if one.token_temp is not None else other.token_temp,
    )
