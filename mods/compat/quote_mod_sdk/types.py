"""Events and actions, under their names and the older spellings."""

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
from mods.sdk.events import Added, Event, Finished, ForwardPass, Prefilled, Sampled

ModEvent = Event
ModAction = Action
PrefilledEvent = Prefilled
ForwardPassEvent = ForwardPass
SampledEvent = Sampled
AddedEvent = Added
FinishedEvent = Finished

__all__ = [
    "Action",
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
    "ModAction",
    "ModEvent",
    "Noop",
    "Prefilled",
    "PrefilledEvent",
    "Sampled",
    "SampledEvent",
    "ToolCalls",
]
