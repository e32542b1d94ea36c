"""The SDK under its older name: every name here is the very object of `mods.sdk`.

`mod` is the decorator here and a submodule besides: `from quote_mod_sdk import mod` and
`from quote_mod_sdk.mod import ActionBuilder` both work.
"""

from mods.sdk.conversation import get_conversation, get_schemas, tool_call_pairs
from mods.sdk.self_prompt import self_prompt_mod
from mods.sdk.serialization import serialize_mod
from mods.sdk.tokenizer import tokenize

from . import (
    actions,
    conversation,
    flow,
    self_prompt,
    serialization,
    strategies,
    tokenizer,
    types,
)
from .mod import (
    ActionBuilder,
    InvalidActionError,
    ModCallable,
    create_mod,
    for_event,
    mod,
    validate_action,
)
from .types import (
    Action,
    Added,
    AddedEvent,
    AdjustedLogits,
    AdjustedPrefill,
    Backtrack,
    EmitError,
    Event,
    Finished,
    FinishedEvent,
    ForceOutput,
    ForceTokens,
    ForwardPass,
    ForwardPassEvent,
    ModAction,
    ModEvent,
    Noop,
    Prefilled,
    PrefilledEvent,
    Sampled,
    SampledEvent,
    ToolCalls,
)

__all__ = [
    "Action",
    "ActionBuilder",
    "Added",
    "AddedEvent",
    "AdjustedLogits",
    "AdjustedPrefill",
    "Backtrack",
    "EmitError",
    "Event",
    "Finished",
    "FinishedEvent",
    "ForceOutput",
    "ForceTokens",
    "ForwardPass",
    "ForwardPassEvent",
    "InvalidActionError",
    "ModAction",
    "ModCallable",
    "ModEvent",
    "Noop",
    "Prefilled",
    "PrefilledEvent",
    "Sampled",
    "SampledEvent",
    "ToolCalls",
    "actions",
    "conversation",
    "create_mod",
    "flow",
    "for_event",
    "get_conversation",
    "get_schemas",
    "mod",
    "self_prompt",
    "self_prompt_mod",
    "serialization",
    "serialize_mod",
    "strategies",
    "tokenize",
    "tokenizer",
    "tool_call_pairs",
    "types",
    "validate_action",
]
