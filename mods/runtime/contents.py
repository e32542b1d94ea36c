"""What an action may hold: checked where a mod answers, whether or not the builder made it.

What passes here is plain: lists of ints inside the vocabulary, finite numbers, rows of the
right width. Nothing behind it has to ask again.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from operator import index

import numpy as np

from mods.sdk.actions import (
    Action,
    ActionBuilder,
    AdjustedLogits,
    AdjustedPrefill,
    Backtrack,
    EmitError,
    ForceOutput,
    ForceTokens,
    ToolCalls,
)
from mods.sdk.constraints import Constraint
from mods.sdk.errors import InvalidActionError
from mods.sdk.events import Event, Sampled

_BUILDER = ActionBuilder()


def checked(action: Action, vocabulary: int) -> Action:
    """The action with plain contents, its own copies. Raises `InvalidActionError`."""
    try:
        return _checked(action, vocabulary)
    except InvalidActionError:
        raise
    except (TypeError, ValueError, AttributeError, OverflowError) as error:
        raise InvalidActionError(f"{action.name}: {error}") from error


def does_nothing(event: Event, action: Action) -> bool:
    """Whether an action would change nothing at this event, and so counts as a noop."""
    if isinstance(action, ForceTokens):
        return not action.tokens
    if isinstance(action, Backtrack):
        nothing_to_take = event.position == 0 and not isinstance(event, Sampled)
        return nothing_to_take and not action.tokens
    return False


def _checked(action: Action, vocabulary: int) -> Action:
    if isinstance(action, (ForceTokens, ForceOutput)):
        return replace(action, tokens=_ids(action, action.tokens, vocabulary))
    if isinstance(action, Backtrack):
        made = _BUILDER.backtrack(action.n)
        return replace(made, tokens=_ids(action, action.tokens, vocabulary))
    if isinstance(action, AdjustedPrefill):
        ids = _ids(action, action.tokens, vocabulary)
        return _BUILDER.adjust_prefill(ids, action.max_steps)
    if isinstance(action, AdjustedLogits):
        return _checked_shape(action, vocabulary)
    if isinstance(action, ToolCalls):
        return _BUILDER.tool_calls(action.tool_calls)
    if isinstance(action, EmitError):
        return _BUILDER.emit_error(action.message)
    return action


def _checked_shape(shape: AdjustedLogits, vocabulary: int) -> AdjustedLogits:
    row = shape.logits
    if row is not None:
        row = np.asarray(row, dtype=np.float32)
        if row.shape != (vocabulary,):
            raise InvalidActionError(
                f"logits must have the vocabulary's length {vocabulary}, got {list(row.shape)}"
            )
        if not np.isfinite(row.max()):
            raise InvalidActionError("logits need a finite maximum, or nothing could be drawn")
    ids = _ids(shape, shape.bias, vocabulary)
    bias = dict(zip(ids, map(float, shape.bias.values()), strict=True))
    for token, amount in bias.items():
        if math.isnan(amount) or amount == math.inf:
            raise InvalidActionError(f"bias for token {token} is {amount}, not a finite number")
    if shape.constraint is not None and not isinstance(shape.constraint, Constraint):
        raise InvalidActionError(f"{shape.constraint!r:.80} is no constraint")
    allow = None if shape.allow is None else frozenset(_ids(shape, shape.allow, vocabulary))
    return AdjustedLogits(
        logits=row,
        bias=bias,
        ban=frozenset(_ids(shape, shape.ban, vocabulary)),
        allow=allow,
        token_temp=_BUILDER.adjust_logits(token_temp=shape.token_temp).token_temp,
        constraint=shape.constraint,
        until_complete=bool(shape.until_complete),
    )


def _ids(action: Action, tokens: Iterable[int], vocabulary: int) -> list[int]:
    """Plain ints. Raises `InvalidActionError` for an id outside the vocabulary."""
    ids = [int(index(token)) for token in tokens]
    if ids and not (min(ids) >= 0 and max(ids) < vocabulary):
        token = next(token for token in ids if not 0 <= token < vocabulary)
        raise InvalidActionError(
            f"{action.name}: token id {token} is outside the vocabulary (0 to {vocabulary - 1})"
        )
    return ids
