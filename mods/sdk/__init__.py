"""What an author of a mod imports."""

from mods.sdk.actions import (
    Action,
    ActionBuilder,
    AdjustedLogits,
    AdjustedPrefill,
    Backtrack,
    EmitError,
    ForceOutput,
    ForceTokens,
    Noop,
    ToolCalls,
    for_event,
    validate_action,
)
from mods.sdk.conversation import get_conversation, get_schemas, tool_call_pairs
from mods.sdk.errors import InvalidActionError, ModError
from mods.sdk.events import Added, Event, Finished, ForwardPass, Prefilled, Sampled
from mods.sdk.mod import Declaration, create_mod, mod
from mods.sdk.per_request import PerRequest
from mods.sdk.self_prompt import EraseMode, SelfPrompt, self_prompt_mod
from mods.sdk.serialization import serialize_mod
from mods.sdk.tokenizer import Tokenizer, load_tokenizer, tokenize

__all__ = [
    "Action",
    "ActionBuilder",
    "Added",
    "AdjustedLogits",
    "AdjustedPrefill",
    "Backtrack",
    "Declaration",
    "EmitError",
    "EraseMode",
    "Event",
    "Finished",
    "ForceOutput",
    "ForceTokens",
    "ForwardPass",
    "InvalidActionError",
    "ModError",
    "Noop",
    "PerRequest",
    "Prefilled",
    "Sampled",
    "SelfPrompt",
    "Tokenizer",
    "ToolCalls",
    "create_mod",
    "for_event",
    "get_conversation",
    "get_schemas",
    "load_tokenizer",
    "mod",
    "self_prompt_mod",
    "serialize_mod",
    "tokenize",
    "tool_call_pairs",
    "validate_action",
]
