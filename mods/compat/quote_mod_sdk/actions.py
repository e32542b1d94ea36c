"""`quote_mod_sdk.actions`: the builder and the actions."""

from mods.sdk.actions import ActionBuilder, for_event, validate_action
from mods.sdk.errors import InvalidActionError

from .types import (
    AdjustedLogits,
    AdjustedPrefill,
    Backtrack,
    EmitError,
    ForceOutput,
    ForceTokens,
    ModAction,
    Noop,
    ToolCalls,
)

__all__ = [
    "ActionBuilder",
    "AdjustedLogits",
    "AdjustedPrefill",
    "Backtrack",
    "EmitError",
    "ForceOutput",
    "ForceTokens",
    "InvalidActionError",
    "ModAction",
    "Noop",
    "ToolCalls",
    "for_event",
    "validate_action",
]
