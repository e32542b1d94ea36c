"""Whose answer counts, where several mods answer one event: law 11, said a second time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from mods.sdk.actions import (
    Action,
    AdjustedLogits,
    AdjustedPrefill,
    Backtrack,
    EmitError,
    ForceOutput,
    ForceTokens,
    Noop,
    ToolCalls,
)
from mods.sdk.events import Event, ForwardPass, Sampled

if TYPE_CHECKING:
    from mods.sdk.testing.recorder import Turn

STRONGEST_FIRST: tuple[tuple[type[Action], ...], ...] = (
    (EmitError, ToolCalls, ForceOutput),
    (Backtrack,),
    (ForceTokens,),
    (AdjustedPrefill,),
    (AdjustedLogits,),
)
"""Kinds of action; what stands together is decided by order."""


def effective(event: Event, action: Action) -> Action:
    """The action, or a noop if it would do nothing at this event."""
    if isinstance(action, ForceTokens) and not action.tokens:
        return Noop()
    nothing_to_take = event.position == 0 and not isinstance(event, Sampled)
    if isinstance(action, Backtrack) and not action.tokens and nothing_to_take:
        return Noop()
    return action


def at_held_temperature(event: Event, answer: object, held: float | None) -> object:
    """What an answer comes to where the mod holds a temperature: a shape of each draw."""
    if held is None or not isinstance(event, ForwardPass):
        return answer
    nothing = isinstance(answer, Action) and isinstance(effective(event, answer), Noop)
    if answer is None or nothing:
        return AdjustedLogits(token_temp=held)
    if isinstance(answer, AdjustedLogits) and answer.token_temp is None:
        return replace(answer, token_temp=held)
    return answer


def strongest(actions: Sequence[Action]) -> Action:
    """Terminal > backtrack > force > shape; ties by order. The first of many shapes."""
    for kinds in STRONGEST_FIRST:
        for action in actions:
            if isinstance(action, kinds):
                return action
    return Noop()


def winner(turn: Turn) -> Action:
    """The action that is carried out at this turn."""
    return strongest([effective(turn.event, action) for action in turn.actions()])


def merge_shapes(actions: Sequence[Action]) -> AdjustedLogits:
    """Biases add, bans unite, allows intersect; the first whole row and temperature win."""
    shapes = [action for action in actions if isinstance(action, AdjustedLogits)]
    allows = [shape.allow for shape in shapes if shape.allow is not None]
    biased = {token for shape in shapes for token in shape.bias}
    return AdjustedLogits(
        logits=next((shape.logits for shape in shapes if shape.logits is not None), None),
        bias={token: sum(each.bias.get(token, 0.0) for each in shapes) for token in biased},
        ban=frozenset().union(*(each.ban for each in shapes)),
        allow=frozenset.intersection(*allows) if allows else None,
        token_temp=next((s.token_temp for s in shapes if s.token_temp is not None), None),
    )
